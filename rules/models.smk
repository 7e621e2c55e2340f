# Models: trained here, or fetched from a folder, a hub or a random generator.
MODEL_FILES = [path for name in PLAN.models for path in PLAN.model_files(name)]


rule train_model:
    input:
        code=lambda w: PLAN.code("train_model", model=w.model),
        data=lambda w: PLAN.training_data(w.model),
        init=lambda w: PLAN.initial_model(w.model),
    output:
        "results/models/{model}/config.json",
        "results/models/{model}/model.safetensors",
        "results/models/{model}/tokenizer.json",
        "results/models/{model}/training.json",
    wildcard_constraints:
        model=PLAN.pattern(PLAN.trained_models),
    params:
        args=lambda w: PLAN.model_args(w.model),
    priority: 10
    threads: 1
    shell:
        "OMP_NUM_THREADS=1 python scripts/train_model.py {params.args}"


rule fetch_model:
    input:
        code=lambda w: PLAN.code("fetch_model", model=w.model),
        source=lambda w: PLAN.model_source_files(w.model),
    output:
        "results/models/{model}/config.json",
        "results/models/{model}/source.json",
    wildcard_constraints:
        model=PLAN.pattern(PLAN.fetched_models),
    params:
        args=lambda w: PLAN.model_args(w.model),
    threads: 1
    shell:
        "python scripts/fetch_model.py {params.args}"
