# Quality: outputs on held-out prompts, untimed and shared by all cells that decode alike; their scores.
OUTPUTS = [f"results/quality/{output}/outputs.jsonl" for output in PLAN.outputs]
OUTPUT_PAPERS = [
    f"results/quality/{output}/outputs.provenance.json" for output in PLAN.outputs
]
SCORES = [f"results/quality/{output}/score.json" for output in PLAN.outputs]
LIKELIHOODS = [f"results/likelihood/{name}.json" for name in PLAN.likelihood_models]


rule generate_outputs:
    input:
        code=lambda w: PLAN.code("generate_outputs", w.output_set),
        model=lambda w: PLAN.output_model(w.output_set),
        prompts=lambda w: PLAN.output_prompts(w.output_set),
    output:
        jsonl="results/quality/{output_set}/outputs.jsonl",
        paper="results/quality/{output_set}/outputs.provenance.json",
    log:
        "results/logs/outputs/{output_set}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        args=lambda w: PLAN.output_args(w.output_set),
    shell:
        "OMP_NUM_THREADS=1 python scripts/generate_outputs.py {params.args} --out {output.jsonl} 2>&1 | tee {log}"


rule score_cell:
    input:
        code=lambda w: PLAN.code("score_cell", w.output_set),
        outputs="results/quality/{output_set}/outputs.jsonl",
        scorer=lambda w: PLAN.scorer_files(w.output_set),
        encoder=lambda w: ancient(PLAN.encoder_files(w.output_set)),
    output:
        "results/quality/{output_set}/score.json",
    log:
        "results/logs/scores/{output_set}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        args=lambda w: PLAN.score_args(w.output_set),
        content=lambda w: PLAN.content(PLAN.encoder_files(w.output_set)),
    shell:
        "OMP_NUM_THREADS=1 python scripts/score_cell.py --outputs {input.outputs} {params.args} --out {output} 2>&1 | tee {log}"


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
    params:
        args=lambda w: PLAN.likelihood_args(w.model),
    shell:
        "OMP_NUM_THREADS=1 python scripts/measure_likelihood.py {params.args} --out {output} 2>&1 | tee {log}"
