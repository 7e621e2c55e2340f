# The crate: the whole run as a Workflow Run RO-Crate, with the workflow's own files beside its results.
from pardec.evidence.crate import copy_name

CRATE = "results/ro-crate-metadata.json"
CRATE_SIDECAR = "results/ro-crate-metadata.provenance.json"
SIDECARS = [*JOB_SIDECARS, *REPORT_SIDECARS]
SIDECAR_LIST = "results/lists/papers.txt"
WORKFLOW_FILES = PLAN.workflow_files()
# The study, its claims and its ideas. Not declared as inputs: Snakemake takes braces in an input's name for a wildcard.
CONFIGS = PLAN.below(
    [*PLAN.sources, *map(os.path.abspath, [*PLAN.claims_files(), PLAN.ideas_file()])]
)
WORKFLOW_COPIES = [
    f"results/workflow/{copy_name(path)}" for path in [*WORKFLOW_FILES, *CONFIGS]
]


localrules:
    list_papers,


rule list_papers:
    output:
        SIDECAR_LIST,
    log:
        "results/logs/lists/papers.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        paths=lambda w: SIDECARS,
    shell:
        "printf '%s\\n' {params.paths:q} 2> {log:q} > {output:q}"


rule describe_run:
    input:
        SIDECARS,
        listed=SIDECAR_LIST,
        workflow=WORKFLOW_FILES,
        study=STUDY,
        code=PLAN.code("describe_run"),
    output:
        CRATE,
        CRATE_SIDECAR,
        WORKFLOW_COPIES,
    log:
        "results/logs/crate.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        configs=lambda w: CONFIGS,
        content=lambda w: PLAN.content(CONFIGS),
    shell:
        "python scripts/describe_run.py --papers-from {input.listed:q} --study {input.study:q}"
        " --workflow {input.workflow:q} {params.configs:q} --out results 2>&1 | tee {log:q}"
