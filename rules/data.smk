# Datasets: training and held-out records, and the tokenizer of data made here.
DATA_FILES = [path for name in PLAN.datasets for path in PLAN.data_files(name)]
DATA_PAPERS = [f"results/data/{name}/provenance.json" for name in PLAN.datasets]


rule prepare_data:
    input:
        code=lambda w: PLAN.code("prepare_data", w.data),
    output:
        "results/data/{data}/about.json",
        "results/data/{data}/train.jsonl",
        "results/data/{data}/heldout.jsonl",
        "results/data/{data}/provenance.json",
        "results/data/{data}/tokenizer.json",
    log:
        "results/logs/data/{data}.log",
    wildcard_constraints:
        data=PLAN.pattern(PLAN.own_datasets),
    # Before any model: the scheduler chooses among what is ready, and the data of the model that should come first would
    # wait behind another one's training.
    priority: 250000
    conda:
        ENVIRONMENT
    threads: 1
    params:
        args=lambda w: PLAN.data_args(w.data),
    shell:
        "python scripts/prepare_data.py {params.args} 2>&1 | tee {log}"


rule fetch_prompts:
    input:
        code=lambda w: PLAN.code("prepare_data", w.data),
        source=lambda w: ancient(PLAN.data_source_files(w.data)),
    output:
        "results/data/{data}/about.json",
        "results/data/{data}/train.jsonl",
        "results/data/{data}/heldout.jsonl",
        "results/data/{data}/provenance.json",
    log:
        "results/logs/data/{data}.log",
    wildcard_constraints:
        data=PLAN.pattern(PLAN.foreign_datasets),
    priority: 250000
    conda:
        ENVIRONMENT
    threads: 1
    params:
        args=lambda w: PLAN.data_args(w.data),
        # The file is the user's: its content decides, whatever its size and its time.
        content=lambda w: PLAN.content(PLAN.data_source_files(w.data)),
    shell:
        "python scripts/prepare_data.py {params.args} 2>&1 | tee {log}"
