# Tables: tidy and checked by a schema, from records, scores, or other tables.
TABLE_FILES = [
    f"results/tables/{name}.{kind}" for name in TABLES for kind in ("csv", "parquet")
]
TABLE_SIDECARS = [f"results/tables/{name}.provenance.json" for name in TABLES]
FLOORS = "results/floors.json"
FLOORS_SIDECAR = "results/floors.provenance.json"
MEASURED = {
    "records": RECORDS,
    "scores": SCORES,
    "likelihoods": LIKELIHOODS,
    "verify_costs": VERIFY_COSTS,
}
GIVEN = {**MEASURED, "machine": MACHINE, "floors": FLOORS}
# Their paths, one per line, since a command line would be too short.
LISTED = "results/lists/inputs.txt"


rule record_floors:
    input:
        code=PLAN.code("record_study"),
    output:
        json=FLOORS,
        sidecar=FLOORS_SIDECAR,
    log:
        "results/logs/floors.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        study=lambda w: PLAN.floors_json(),
    shell:
        "python scripts/record_study.py --study {params.study:q} --rule record_floors --out {output.json:q} 2>&1 | tee {log:q}"


localrules:
    list_inputs,


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


rule tabulate:
    input:
        unpack(lambda w: table_inputs(w.table, GIVEN)),
        listed=lambda w: [LISTED] if MEASURED.keys() & set(needs(w.table)) else [],
        code=lambda w: PLAN.code("tabulate", modules=table_modules(w.table)),
    output:
        csv=report(
            "results/tables/{table}.csv",
            caption="../report/snakemake/table.rst",
            category="Tables",
            labels=table_label,
        ),
        parquet="results/tables/{table}.parquet",
        sidecar="results/tables/{table}.provenance.json",
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
