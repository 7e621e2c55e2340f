# Tables: tidy, checked by a schema; from records, scores, or other tables.
from pardec.evidence.tables.registry import TABLES

TABLE_FILES = [
    f"results/tables/{name}.{kind}" for name in TABLES for kind in ("csv", "parquet")
]
TABLE_PAPERS = [f"results/tables/{name}.provenance.json" for name in TABLES]
FLOORS = "results/floors.json"
FLOORS_PAPER = "results/floors.provenance.json"


rule record_floors:
    input:
        code=PLAN.code("record_study"),
    output:
        json=FLOORS,
        paper=FLOORS_PAPER,
    log:
        "results/logs/floors.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        args=PLAN.floor_args(),
    shell:
        "python scripts/record_study.py {params.args} --rule record_floors --out {output.json}"


onstart:
    PLAN.write_list(
        "results/lists/inputs.txt", [*RECORDS, *SCORES, *LIKELIHOODS, *VERIFY_COSTS]
    )
    PLAN.write_list("results/lists/papers.txt", PAPERS)
    PLAN.write_list("results/lists/jobs.txt", job_papers())


rule tabulate:
    input:
        unpack(table_inputs),
        code=lambda w: PLAN.code("tabulate", modules=[TABLES.module(w.table)]),
    output:
        csv=report(
            "results/tables/{table}.csv",
            caption="../report/snakemake/table.rst",
            category="Tables",
            labels=table_label,
        ),
        parquet="results/tables/{table}.parquet",
        paper="results/tables/{table}.provenance.json",
    log:
        "results/logs/tables/{table}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        args=table_lists,
    shell:
        "python scripts/tabulate.py --table {wildcards.table} {params.args}"
        " --out-csv {output.csv} --out-parquet {output.parquet} 2>&1 | tee {log}"
