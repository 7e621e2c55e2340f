# Quality: untimed outputs on held-out prompts, shared by all cells with the same decoding, and their scores.
OUTPUTS = [f"results/quality/{output}/outputs.jsonl" for output in PLAN.outputs]
OUTPUT_SIDECARS = [
    f"results/quality/{output}/outputs.provenance.json" for output in PLAN.outputs
]
SCORES = [f"results/quality/{output}/score.json" for output in PLAN.outputs]
LIKELIHOODS = [f"results/likelihood/{name}.json" for name in PLAN.likelihood_models]


rule generate_outputs:
    input:
        model=lambda w: PLAN.output_model(w.output_set),
        prompts=lambda w: PLAN.output_prompts(w.output_set),
    output:
        jsonl="results/quality/{output_set}/outputs.jsonl",
        sidecar="results/quality/{output_set}/outputs.provenance.json",
    log:
        "results/logs/outputs/{output_set}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=PLAN.gpu,
    params:
        arm=lambda w: PLAN.arm_words(PLAN.outputs[w.output_set]),
        workload=lambda w: PLAN.workload_words(PLAN.outputs[w.output_set]),
        prompts=lambda w: PLAN.prompts(PLAN.outputs[w.output_set]),
        engine=lambda w: PLAN.engine_words(PLAN.outputs[w.output_set]),
        # A digest over the code's files; as inputs, they would make planning five times as slow.
        code=lambda w: PLAN.code_digest("generate_outputs", w.output_set),
    shell:
        "OMP_NUM_THREADS=1 python scripts/generate_outputs.py {params.arm:q} {params.workload:q}"
        " --prompts {params.prompts:q} {params.engine:q}"
        " --out {output.jsonl:q} 2>&1 | tee {log:q}"


rule score_cell:
    input:
        outputs="results/quality/{output_set}/outputs.jsonl",
        scorer=lambda w: PLAN.scorer_files(w.output_set),
    output:
        "results/quality/{output_set}/score.json",
    log:
        "results/logs/scores/{output_set}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=lambda w: PLAN.scoring_gpu(w.output_set),
    params:
        metrics=lambda w: PLAN.metric_words(PLAN.outputs[w.output_set]),
        content=lambda w: PLAN.content(PLAN.encoder_files(w.output_set)),
        code=lambda w: PLAN.code_digest("score_cell", w.output_set),
    shell:
        "OMP_NUM_THREADS=1 python scripts/score_cell.py --outputs {input.outputs:q} {params.metrics:q}"
        " --out {output:q} 2>&1 | tee {log:q}"


rule measure_likelihood:
    input:
        code=lambda w: PLAN.code("measure_likelihood", w.model),
        model=lambda w: PLAN.model_files(w.model),
        data=PLAN.likelihood_data(),
    output:
        "results/likelihood/{model}.json",
    log:
        "results/logs/likelihood/{model}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=PLAN.gpu,
    params:
        records=PLAN.likelihood_words(),
        seed=lambda w: PLAN.seed("likelihood", w.model),
    shell:
        "OMP_NUM_THREADS=1 python scripts/measure_likelihood.py --model results/models/{wildcards.model:q}"
        " {params.records:q} --seed {params.seed:q} --out {output:q} 2>&1 | tee {log:q}"
