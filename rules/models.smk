# Models: trained by the workflow, or fetched from a folder, a hub or a random generator.
MODEL_FILES = [path for name in PLAN.models for path in PLAN.model_files(name)]
MODEL_SIDECARS = [f"results/models/{name}/provenance.json" for name in PLAN.models]
# Hub models that must reproduce their authors' results before any cell runs them.
VERIFIED = [path for name in PLAN.verified_models for path in PLAN.verified(name)]


rule train_model:
    input:
        code=lambda w: PLAN.code("train_model", w.model),
        data=lambda w: PLAN.training_data(w.model),
        parents=lambda w: PLAN.parent_models(w.model),
    output:
        "results/models/{model}/config.json",
        "results/models/{model}/model.safetensors",
        "results/models/{model}/tokenizer.json",
        "results/models/{model}/training.json",
        "results/models/{model}/provenance.json",
    log:
        "results/logs/models/{model}.log",
    wildcard_constraints:
        model=PLAN.pattern(PLAN.trained_models),
    priority: lambda w: PLAN.model_priority(w.model)
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=PLAN.training_gpu,
    params:
        settings=lambda w: PLAN.model_settings(w.model),
        data=lambda w: PLAN.training_folder(w.model),
        parents=lambda w: PLAN.parent_words(w.model),
        seed=lambda w: PLAN.seed("model", w.model),
        device=PLAN.training_words(),
        # A job whose recipe is published takes those weights; its inputs stay the same, so a new publication trains nothing.
        # So does one whose recipe was trained here before: Snakemake repeats a job whose inputs were made again.
        published=PLAN.published_words(),
    # Keep freed memory for the next step; glibc would return it to the system and have it zeroed, a tenth of the time.
    shell:
        "OMP_NUM_THREADS=1 "
        "MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=67108864 "
        "python scripts/train_model.py --name {wildcards.model:q} --settings {params.settings:q} --data {params.data:q}"
        " {params.parents:q} --seed {params.seed:q} {params.device:q} {params.published:q}"
        " --kept .snakemake/trained --out results/models/{wildcards.model:q} 2>&1 | tee {log:q}"


rule adapt_model:
    input:
        code=lambda w: PLAN.code("adapt_model", w.model),
        data=lambda w: PLAN.training_data(w.model),
        base=lambda w: PLAN.parent_models(w.model),
    output:
        "results/models/{model}/config.json",
        "results/models/{model}/source.json",
        "results/models/{model}/training.json",
        "results/models/{model}/provenance.json",
    log:
        "results/logs/models/{model}.log",
    wildcard_constraints:
        model=PLAN.pattern(PLAN.adapted_models),
    priority: lambda w: PLAN.model_priority(w.model)
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=lambda w: PLAN.model_settings(w.model),
        data=lambda w: PLAN.training_folder(w.model),
        base=lambda w: PLAN.base_folder(w.model),
        seed=lambda w: PLAN.seed("model", w.model),
        # As for train_model.
        published=PLAN.published_words(),
    shell:
        "OMP_NUM_THREADS=1 "
        "MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=67108864 "
        "python scripts/adapt_model.py --name {wildcards.model:q} --settings {params.settings:q} --data {params.data:q}"
        " --base {params.base:q} --seed {params.seed:q} {params.published:q}"
        " --kept .snakemake/trained --out results/models/{wildcards.model:q} 2>&1 | tee {log:q}"


rule fetch_model:
    input:
        code=lambda w: PLAN.code("fetch_model", w.model),
    output:
        "results/models/{model}/config.json",
        "results/models/{model}/source.json",
        "results/models/{model}/provenance.json",
    log:
        "results/logs/models/{model}.log",
    wildcard_constraints:
        model=PLAN.pattern(PLAN.fetched_models),
    priority: lambda w: PLAN.model_priority(w.model)
    conda:
        ENVIRONMENT
    threads: 1
    params:
        settings=lambda w: PLAN.model_settings(w.model),
        seed=lambda w: PLAN.seed("model", w.model),
        # A hash of the user's files, since their content decides, whatever their size and times.
        content=lambda w: PLAN.content(PLAN.model_source_files(w.model)),
    shell:
        "python scripts/fetch_model.py --name {wildcards.model:q} --settings {params.settings:q} --seed {params.seed:q}"
        " --out results/models/{wildcards.model:q} 2>&1 | tee {log:q}"


rule verify_model:
    input:
        code=lambda w: PLAN.code("verify_model", w.model),
        model=lambda w: PLAN.model_files(w.model),
        data=lambda w: PLAN.verified_data(w.model),
    output:
        "results/models/{model}/verified.json",
    log:
        "results/logs/verified/{model}.log",
    wildcard_constraints:
        model=PLAN.pattern(PLAN.verified_models),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
    params:
        checks=lambda w: PLAN.checks(w.model),
        data=lambda w: PLAN.check_data_words(w.model),
        seed=lambda w: PLAN.seed("verify", w.model),
        device=PLAN.study.device,
        precision=PLAN.study.precision,
    shell:
        "python scripts/verify_model.py --model results/models/{wildcards.model:q} --checks {params.checks:q} {params.data:q}"
        " --seed {params.seed:q} --device {params.device:q} --precision {params.precision:q} --out {output:q} 2>&1 | tee {log:q}"
