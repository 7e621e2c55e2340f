# pardec: parallel decoding, measured. The rules are included in the order the data flows.
import os

from snakemake.utils import min_version

min_version("9.0")


# The default study. rules/common.smk reads it and other studies itself, with the files that they include.
configfile: os.path.join(workflow.basedir, "config.yaml")


report: "report/snakemake/workflow.rst"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/machine.smk"
include: "rules/timing.smk"
include: "rules/quality.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/crate.smk"


# Outputs that need every cell; a part of a study (--config shard=2/8) makes none of them.
WHOLE = [
    CRATE,
    CRATE_SIDECAR,
    WORKFLOW_COPIES,
    SIDECARS,
    SIDECAR_LIST,
    JOB_LIST,
    LISTED,
    REPORT,
    PACKED,
    CLAIMS,
    VERDICTS,
    TABLE_FILES,
    FIGURE_FILES,
]


rule all:
    default_target: True
    input:
        [] if PLAN.shard else WHOLE,
        RECORDS,
        SCORES,
        OUTPUTS,
        OUTPUT_SIDECARS,
        LIKELIHOODS,
        VERIFY_COSTS,
        MODEL_FILES,
        MODEL_SIDECARS,
        VERIFIED,
        DATA_FILES,
        DATA_SIDECARS,
        FLOORS_SIDECAR,
        MACHINE,
        WARM_UP,
