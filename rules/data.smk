# Datasets: training and held-out records, and the tokenizer of data made here.
DATA_FILES = [path for name in PLAN.datasets for path in PLAN.data_files(name)]


rule prepare_data:
    input:
        code=lambda w: PLAN.code("prepare_data", data=w.data),
    output:
        "results/data/{data}/about.json",
        "results/data/{data}/train.jsonl",
        "results/data/{data}/heldout.jsonl",
        "results/data/{data}/tokenizer.json",
    wildcard_constraints:
        data=PLAN.pattern(PLAN.own_datasets),
    params:
        args=lambda w: PLAN.data_args(w.data),
    threads: 1
    shell:
        "python scripts/prepare_data.py {params.args}"


rule fetch_prompts:
    input:
        code=lambda w: PLAN.code("prepare_data", data=w.data),
        source=lambda w: PLAN.data_source_files(w.data),
    output:
        "results/data/{data}/about.json",
        "results/data/{data}/train.jsonl",
        "results/data/{data}/heldout.jsonl",
    wildcard_constraints:
        data=PLAN.pattern(PLAN.foreign_datasets),
    params:
        args=lambda w: PLAN.data_args(w.data),
    threads: 1
    shell:
        "python scripts/prepare_data.py {params.args}"
