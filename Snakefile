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


# Stages, which can be asked for by name: `snakemake models`. A part of a study (--config shard=2/8) has no tables and no
# report, which need every cell. Each stage lists all of its files: a file that nothing lists would stay missing unnoticed.
rule data:
    input:
        DATA_FILES,
        DATA_SIDECARS,


rule models:
    input:
        MODEL_FILES,
        MODEL_SIDECARS,
        VERIFIED,


rule timing:
    input:
        MACHINE,
        WARM_UP,
        RECORDS,
        VERIFY_COSTS,


rule quality:
    input:
        OUTPUTS,
        OUTPUT_SIDECARS,
        SCORES,
        LIKELIHOODS,


rule tables:
    input:
        [] if PLAN.shard else TABLE_FILES,
        [] if PLAN.shard else FIGURE_FILES,
        FLOORS_SIDECAR,


rule report:
    input:
        []
        if PLAN.shard
        else [LISTED, REPORT, PACKED, CLAIMS, VERDICTS, COMPARISON, JOB_LIST],
        [] if PLAN.shard else [SIDECARS, SIDECAR_LIST],
        [] if PLAN.shard else [CRATE, CRATE_SIDECAR, WORKFLOW_COPIES],


rule all:
    default_target: True
    input:
        rules.data.input,
        rules.models.input,
        rules.timing.input,
        rules.quality.input,
        rules.tables.input,
        rules.report.input,
