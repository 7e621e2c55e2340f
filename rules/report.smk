# The paper: values from tables, trails from records, one page.
from pardec.evidence.findings.registry import FINDINGS

VALUES = "results/values.json"
STUDY = "results/study.json"
TRAILS = "results/trails.json"
REPORT = "results/report.html"


rule record_study:
    input:
        code=PLAN.code("record_study"),
    output:
        STUDY,
    params:
        args=PLAN.study_args(),
    threads: 1
    shell:
        "python scripts/record_study.py {params.args} --out {output}"


rule collect_values:
    input:
        tables=[f"results/tables/{name}.parquet" for name in TABLES],
        code=PLAN.code(
            "collect_values", [*map(TABLES.module, TABLES), *map(FINDINGS.module, FINDINGS)]
        ),
    output:
        json=VALUES,
        tex="results/values.tex",
    threads: 1
    shell:
        "python scripts/collect_values.py --tables results/tables --out-json {output.json} --out-tex {output.tex}"


rule collect_trails:
    input:
        RECORDS,
        SCORES,
        LIKELIHOODS,
        code=PLAN.code("collect_trails"),
    output:
        TRAILS,
    threads: 1
    shell:
        "python scripts/collect_trails.py --inputs-from results/lists/inputs.txt --out {output}"


rule render_report:
    input:
        TABLE_FILES,
        FIGURE_FILES,
        outputs=OUTPUTS,
        values=VALUES,
        trails=TRAILS,
        study=STUDY,
        templates=PLAN.templates(),
        code=PLAN.code("render_report", map(FIGURES.module, FIGURES)),
    output:
        REPORT,
    threads: 1
    shell:
        "python scripts/render_report.py --values {input.values} --tables results/tables --figures results/figures"
        " --study {input.study} --trails {input.trails} --outputs {input.outputs} --out {output}"


onsuccess:
    shell("python scripts/summarise.py --values {VALUES} --report {REPORT}")
