# Tables: tidy, checked by a schema; from records, scores, or other tables.
from pardec.evidence.tables.registry import FILES, TABLES, needs

TABLE_FILES = [
    f"results/tables/{name}.{kind}" for name in TABLES for kind in ("csv", "parquet")
]
TABLE_PAPERS = [f"results/tables/{name}.provenance.json" for name in TABLES]
FLOORS = "results/floors.json"
FLOORS_PAPER = "results/floors.provenance.json"
MEASURED = {
    "records": RECORDS,
    "scores": SCORES,
    "likelihoods": LIKELIHOODS,
    "verify_costs": VERIFY_COSTS,
}
# Their paths, one a line: more than a command line can hold.
LISTED = "results/lists/inputs.txt"


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
        study=lambda w: PLAN.floors_json(),
    shell:
        "python scripts/record_study.py --study {params.study:q} --rule record_floors --out {output.json:q} 2>&1 | tee {log:q}"


rule list_inputs:
    output:
        LISTED,
    log:
        "results/logs/lists/inputs.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        paths=lambda w: [path for paths in MEASURED.values() for path in paths],
    shell:
        "printf '%s\\n' {params.paths:q} 2> {log:q} > {output:q}"


def table_inputs(wildcards):
    """What a table is built from, by kind; the list of paths where it reads any of those in it."""
    wanted = needs(wildcards.table)
    available = {**MEASURED, "machine": MACHINE, "floors": FLOORS}
    given = {kind: available[kind] for kind in available if kind in wanted}
    given["listed"] = [LISTED] if MEASURED.keys() & set(wanted) else []
    given["tables"] = [
        f"results/tables/{name}.parquet" for name in wanted if name not in FILES
    ]
    return given


def table_words(wildcards, input):
    """The words that name these inputs."""
    words = ["--inputs-from", *input.listed] if input.listed else []
    for kind in ("machine", "floors"):
        words += [f"--{kind}", input.get(kind)] if input.get(kind) else []
    if "ideas_file" in needs(wildcards.table):
        words += ["--ideas-file", PLAN.ideas_file()]
    return [*words, *(["--tables", "results/tables"] if input.tables else [])]


def table_label(wildcards):
    """How Snakemake's own report names a table."""
    return {
        "table": wildcards.table,
        "holds": TABLES.load(wildcards.table).description,
    }


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
        given=table_words,
        content=lambda w: (
            PLAN.content([PLAN.ideas_file()]) if "ideas_file" in needs(w.table) else ""
        ),
    shell:
        "python scripts/tabulate.py --table {wildcards.table:q} {params.given:q}"
        " --out-csv {output.csv:q} --out-parquet {output.parquet:q} 2>&1 | tee {log:q}"
