# The paper: values from tables, trails from records, one page.
from pardec.evidence.findings.registry import FINDINGS

VALUES = "results/values.json"
STUDY = "results/study.json"
TRAILS = "results/trails.json"
CLAIMS = "results/claims.json"
VERDICTS = "results/verdicts.json"
JOBS = "results/jobs.json"
REPORT = "results/report.html"
# The same page folded small: Chromium shows no page above two million characters inside Snakemake's own report.
PACKED = "results/report.packed.html"
REPORT_PAPERS = [
    f"results/{name}.provenance.json"
    for name in ("values", "study", "trails", "claims", "verdicts", "jobs", "report")
]


rule record_study:
    input:
        code=PLAN.code("record_study"),
    output:
        json=STUDY,
        paper="results/study.provenance.json",
    log:
        "results/logs/study.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        args=PLAN.study_args(),
    shell:
        "python scripts/record_study.py {params.args} --out {output.json} 2>&1 | tee {log}"


rule collect_values:
    input:
        tables=[f"results/tables/{name}.parquet" for name in TABLES],
        code=PLAN.code(
            "collect_values",
            modules=[*map(TABLES.module, TABLES), *map(FINDINGS.module, FINDINGS)],
        ),
    output:
        json=VALUES,
        tex="results/values.tex",
        paper="results/values.provenance.json",
    log:
        "results/logs/values.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/collect_values.py --tables results/tables --out-json {output.json} --out-tex {output.tex} 2>&1 | tee {log}"


rule collect_trails:
    input:
        RECORDS,
        SCORES,
        LIKELIHOODS,
        VERIFY_COSTS,
        code=PLAN.code("collect_trails"),
    output:
        json=TRAILS,
        paper="results/trails.provenance.json",
    log:
        "results/logs/trails.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/collect_trails.py --inputs-from results/lists/inputs.txt --out {output.json} 2>&1 | tee {log}"


rule judge_claims:
    input:
        tables=[f"results/tables/{name}.parquet" for name in TABLES],
        values=VALUES,
        claims=CLAIMS_FILES,
        code=PLAN.code("judge_claims", modules=[*map(TABLES.module, TABLES)]),
    output:
        json=CLAIMS,
        paper="results/claims.provenance.json",
    log:
        "results/logs/claims.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/judge_claims.py --claims {input.claims:q} --values {input.values} --tables results/tables --out {output.json} 2>&1 | tee {log}"


rule judge_ideas:
    input:
        table="results/tables/ideas.parquet",
        values=VALUES,
        ideas=IDEAS_FILE,
        code=PLAN.code("judge_ideas", modules=[TABLES.module("ideas")]),
    output:
        json=VERDICTS,
        paper="results/verdicts.provenance.json",
    log:
        "results/logs/verdicts.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/judge_ideas.py --ideas {input.ideas:q} --values {input.values} --table {input.table} --out {output.json} 2>&1 | tee {log}"


rule collect_jobs:
    input:
        job_papers,
        code=PLAN.code("collect_jobs"),
    output:
        json=JOBS,
        paper="results/jobs.provenance.json",
    log:
        "results/logs/jobs.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/collect_jobs.py --papers-from results/lists/jobs.txt --out {output.json} 2>&1 | tee {log}"


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
        paper="results/report.provenance.json",
    log:
        "results/logs/report.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/render_report.py --values {input.values} --tables results/tables --figures results/figures"
        " --study {input.study} --claims {input.claims} --verdicts {input.verdicts} --trails {input.trails} --jobs {input.jobs}"
        " --outputs {input.outputs} --out {output.html} --out-packed {output.packed} 2>&1 | tee {log}"


onsuccess:
    shell("python scripts/summarise.py --values {VALUES} --report {REPORT}")
