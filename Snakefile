# pardec: parallel decoding, measured. The rules are included in the order the data flows.
from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/machine.smk"
include: "rules/timing.smk"
include: "rules/quality.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        REPORT,
        TABLE_FILES,
        FIGURE_FILES,
        RECORDS,
        SCORES,
        OUTPUTS,
        LIKELIHOODS,
        MODEL_FILES,
        MODEL_PAPERS,
        DATA_FILES,
        DATA_PAPERS,
        MACHINE,
        WARM_UP,
