# The crate: the whole run as a Workflow Run RO-Crate, with the workflow's own files beside its results.
from pardec.evidence.crate import copy_name

CRATE = "results/ro-crate-metadata.json"
CRATE_PAPER = "results/ro-crate-metadata.provenance.json"
# What holds the provenance of each job: the artefact itself, or a file beside it.
PAPERS = [
    *DATA_PAPERS,
    *MODEL_PAPERS,
    *VERIFIED,
    MACHINE,
    WARM_UP,
    *RECORDS,
    *OUTPUT_PAPERS,
    *SCORES,
    *LIKELIHOODS,
    *VERIFY_COSTS,
    FLOORS_PAPER,
    *TABLE_PAPERS,
    *FIGURE_PAPERS,
    *REPORT_PAPERS,
]
WORKFLOW_FILES = PLAN.workflow_files(workflow.configfiles)
WORKFLOW_COPIES = [f"results/workflow/{copy_name(path)}" for path in WORKFLOW_FILES]


rule describe_run:
    input:
        PAPERS,
        workflow=WORKFLOW_FILES,
        study=STUDY,
        code=PLAN.code("describe_run"),
    output:
        CRATE,
        CRATE_PAPER,
        WORKFLOW_COPIES,
    log:
        "results/logs/crate.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/describe_run.py --papers-from results/lists/papers.txt --study {input.study}"
        " --workflow {input.workflow} --out results 2>&1 | tee {log}"
