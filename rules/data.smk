# Datasets: training and held-out records, and tokenizers of generated data.
DATA_FILES = [path for name in PLAN.datasets for path in PLAN.data_files(name)]
DATA_SIDECARS = [f"results/data/{name}/provenance.json" for name in PLAN.datasets]


rule prepare_data:
    input:
        code=lambda w: PLAN.code("prepare_data", w.data),
        model=lambda w: PLAN.asked_files(w.data),
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
    # Before any model: otherwise the data of the most urgent model could wait behind another model's training.
    priority: 250000
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=lambda w: PLAN.data_settings(w.data),
        seed=lambda w: PLAN.seed("data", w.data),
        model=lambda w: PLAN.asked_words(w.data),
    shell:
        "python scripts/prepare_data.py --name {wildcards.data:q} --settings {params.settings:q} --seed {params.seed:q}"
        " {params.model:q} --out results/data/{wildcards.data:q} 2>&1 | tee {log:q}"


rule fetch_prompts:
    input:
        code=lambda w: PLAN.code("prepare_data", w.data),
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
        settings=lambda w: PLAN.data_settings(w.data),
        seed=lambda w: PLAN.seed("data", w.data),
        # A hash of the user's file, since its content decides, whatever its size and time. As an input, braces in its
        # name would be a wildcard.
        content=lambda w: PLAN.content(PLAN.data_source_files(w.data)),
    shell:
        "python scripts/prepare_data.py --name {wildcards.data:q} --settings {params.settings:q} --seed {params.seed:q}"
        " --out results/data/{wildcards.data:q} 2>&1 | tee {log:q}"
