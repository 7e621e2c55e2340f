# Tables: tidy, checked by a schema; from records, scores, or other tables.
from pardec.evidence.tables.registry import FILES, TABLES, needs

TABLE_FILES = [
    f"results/tables/{name}.{kind}" for name in TABLES for kind in ("csv", "parquet")
]


FLOORS = "results/floors.json"


rule record_floors:
    input:
        code=PLAN.code("record_study"),
    output:
        FLOORS,
    log:
        "results/logs/floors.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        args=PLAN.floor_args(),
    shell:
        "python scripts/record_study.py {params.args} --out {output}"


def table_inputs(wildcards):
    """What a table is built from, by kind."""
    available = {
        "records": RECORDS,
        "scores": SCORES,
        "likelihoods": LIKELIHOODS,
        "machine": [MACHINE],
        "floors": [FLOORS],
    }
    wanted = needs(wildcards.table)
    found = {kind: available[kind] for kind in FILES if kind in wanted}
    found["tables"] = [
        f"results/tables/{name}.parquet" for name in wanted if name not in FILES
    ]
    return found


def table_lists(wildcards, input):
    """Flags that name the inputs; a list of files can be longer than a command line may be, so it stands in a file."""
    flags = []
    if any(
        kind in needs(wildcards.table) for kind in ("records", "scores", "likelihoods")
    ):
        flags.append("--inputs-from results/lists/inputs.txt")
    if "machine" in needs(wildcards.table):
        flags.append(f"--machine {MACHINE}")
    if "floors" in needs(wildcards.table):
        flags.append(f"--floors {FLOORS}")
    if input.tables:
        flags.append("--tables results/tables")
    return " ".join(flags)


onstart:
    PLAN.write_list("results/lists/inputs.txt", [*RECORDS, *SCORES, *LIKELIHOODS])


rule tabulate:
    input:
        unpack(table_inputs),
        code=lambda w: PLAN.code("tabulate", [TABLES.module(w.table)]),
    output:
        csv="results/tables/{table}.csv",
        parquet="results/tables/{table}.parquet",
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
