# The report: values from tables, trails from records, one page.

VALUES = "results/values.json"
STUDY = "results/study.json"
TRAILS = "results/trails.json"
CLAIMS = "results/claims.json"
VERDICTS = "results/verdicts.json"
JOBS = "results/jobs.json"
COMPARISON = "results/comparison.json"
REPORT = "results/report.html"
# The same page, compressed: inside Snakemake's report, Chromium shows at most two million characters.
PACKED = "results/report.packed.html"
EVIDENCE_SIDECARS = [
    f"results/{name}.provenance.json"
    for name in ("values", "study", "trails", "claims", "verdicts", "comparison")
]
REPORT_SIDECARS = [
    "results/jobs.provenance.json",
    "results/report.provenance.json",
]
# Files with the provenance of each job, the output itself or its sidecar, except for the last jobs: the list of jobs,
# the page, and the crate.
JOB_SIDECARS = [
    *DATA_SIDECARS,
    *MODEL_SIDECARS,
    *VERIFIED,
    MACHINE,
    WARM_UP,
    *RECORDS,
    *OUTPUT_SIDECARS,
    *SCORES,
    *LIKELIHOODS,
    *VERIFY_COSTS,
    FLOORS_SIDECAR,
    *TABLE_SIDECARS,
    *FIGURE_SIDECARS,
    *EVIDENCE_SIDECARS,
]
JOB_LIST = "results/lists/jobs.txt"


rule record_study:
    input:
        code=PLAN.code("record_study"),
    output:
        json=STUDY,
        sidecar="results/study.provenance.json",
    log:
        "results/logs/study.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        study=lambda w: PLAN.study_json(),
    shell:
        "python scripts/record_study.py --study {params.study:q} --out {output.json:q} 2>&1 | tee {log:q}"


rule collect_values:
    input:
        tables=[f"results/tables/{name}.parquet" for name in TABLES],
        code=PLAN.code(
            "collect_values",
            modules=list(map(TABLES.module, TABLES)),
        ),
    output:
        json=VALUES,
        tex="results/values.tex",
        sidecar="results/values.provenance.json",
    log:
        "results/logs/values.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/collect_values.py --tables results/tables --out-json {output.json:q} --out-tex {output.tex:q} 2>&1 | tee {log:q}"


rule collect_trails:
    input:
        RECORDS,
        SCORES,
        LIKELIHOODS,
        VERIFY_COSTS,
        listed=LISTED,
        code=PLAN.code("collect_trails"),
    output:
        json=TRAILS,
        sidecar="results/trails.provenance.json",
    log:
        "results/logs/trails.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/collect_trails.py --inputs-from {input.listed:q} --out {output.json:q} 2>&1 | tee {log:q}"


rule judge_claims:
    input:
        tables=[f"results/tables/{name}.parquet" for name in TABLES],
        values=VALUES,
        code=PLAN.code("judge_claims", modules=map(TABLES.module, TABLES)),
    output:
        json=CLAIMS,
        sidecar="results/claims.provenance.json",
    log:
        "results/logs/claims.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        claims=lambda w: PLAN.claims_files(),
        content=lambda w: PLAN.content(PLAN.claims_files()),
    shell:
        "python scripts/judge_claims.py --claims {params.claims:q} --values {input.values:q} --tables results/tables --out {output.json:q} 2>&1 | tee {log:q}"


rule judge_ideas:
    input:
        table="results/tables/ideas.parquet",
        values=VALUES,
        code=PLAN.code("judge_ideas", modules=[TABLES.module("ideas")]),
    output:
        json=VERDICTS,
        sidecar="results/verdicts.provenance.json",
    log:
        "results/logs/verdicts.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        ideas=lambda w: PLAN.ideas_file(),
        content=lambda w: PLAN.content([PLAN.ideas_file()]),
    shell:
        "python scripts/judge_ideas.py --ideas {params.ideas:q} --values {input.values:q} --table {input.table:q} --out {output.json:q} 2>&1 | tee {log:q}"


rule compare_published:
    input:
        RECORDS,
        files=[VALUES, CLAIMS, VERDICTS, STUDY, MACHINE, "results/tables/cells.parquet"],
        listed=LISTED,
        code=PLAN.code("compare_published", modules=map(TABLES.module, TABLES)),
    output:
        json=COMPARISON,
        sidecar="results/comparison.provenance.json",
    log:
        "results/logs/comparison.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        archive=lambda w: PLAN.archive_words(),
        content=lambda w: PLAN.content(PLAN.archives()),
    shell:
        "python scripts/compare_published.py --inputs-from {input.listed:q} --files {input.files:q}"
        " {params.archive:q} --out {output.json:q} 2>&1 | tee {log:q}"


localrules:
    list_jobs,


rule list_jobs:
    output:
        JOB_LIST,
    log:
        "results/logs/lists/jobs.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        paths=lambda w: JOB_SIDECARS,
    shell:
        "printf '%s\\n' {params.paths:q} 2> {log:q} > {output:q}"


rule collect_jobs:
    input:
        JOB_SIDECARS,
        listed=JOB_LIST,
        code=PLAN.code("collect_jobs"),
    output:
        json=JOBS,
        sidecar="results/jobs.provenance.json",
    log:
        "results/logs/jobs.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/collect_jobs.py --papers-from {input.listed:q} --out {output.json:q} 2>&1 | tee {log:q}"


rule render_report:
    input:
        TABLE_FILES,
        FIGURE_FILES,
        outputs=OUTPUTS,
        values=VALUES,
        claims=CLAIMS,
        verdicts=VERDICTS,
        trails=TRAILS,
        jobs=JOBS,
        comparison=COMPARISON,
        study=STUDY,
        templates=PLAN.templates(),
        code=PLAN.code("render_report", modules=map(FIGURES.module, FIGURES)),
    output:
        html=REPORT,
        packed=report(
            PACKED,
            caption="../report/snakemake/paper.rst",
            category="Paper",
            labels={"paper": "The report", "form": "HTML"},
        ),
        sidecar="results/report.provenance.json",
    log:
        "results/logs/report.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/render_report.py --values {input.values:q} --tables results/tables --figures results/figures"
        " --study {input.study:q} --claims {input.claims:q} --verdicts {input.verdicts:q} --trails {input.trails:q} --jobs {input.jobs:q}"
        " --comparison {input.comparison:q}"
        " --outputs {input.outputs:q} --out {output.html:q} --out-packed {output.packed:q} 2>&1 | tee {log:q}"


onsuccess:
    shell(
        "python scripts/summarise.py --values {VALUES:q} --report {REPORT:q} --study {STUDY:q} --comparison {COMPARISON:q}"
    )
