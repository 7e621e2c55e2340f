# Timing: one job per cell, alone on the machine.
RECORDS = [PLAN.record(cell) for cell in PLAN.cells]


rule time_cell:
    input:
        model=lambda w: PLAN.cell_models(w.cell),
        reference=lambda w: PLAN.reference_models(w.cell),
        prompts=lambda w: PLAN.cell_prompts(w.cell),
    output:
        "results/cells/{cell}/timing.json",
    log:
        "results/logs/cells/{cell}.log",
    priority: lambda w: PLAN.priority(w.cell)
    conda:
        ENVIRONMENT
    # Otherwise a pool would run several single-threaded jobs at once, which would disturb each other.
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        cell=lambda w: PLAN.cell_json(w.cell),
        # A digest over the code's files; as inputs, they would make planning five times as slow.
        code=lambda w: PLAN.code_digest("time_cell", w.cell),
    shell:
        "python scripts/time_cell.py --cell {params.cell:q} --out {output:q} 2>&1 | tee {log:q}"


# Time of a target's pass by its number of tokens; only if an experiment drafts.
VERIFY_COSTS = [f"results/verify_cost/{name}.json" for name in PLAN.drafted_models]


rule measure_verify_cost:
    input:
        code=lambda w: PLAN.code("measure_verify_cost", w.model),
        model=lambda w: PLAN.model_files(w.model),
    output:
        "results/verify_cost/{model}.json",
    log:
        "results/logs/verify_cost/{model}.log",
    wildcard_constraints:
        model=PLAN.pattern(PLAN.drafted_models),
    conda:
        ENVIRONMENT
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        seed=lambda w: PLAN.seed("verify_cost", w.model),
        engine=lambda w: PLAN.verify_words(w.model),
    shell:
        "python scripts/measure_verify_cost.py --model results/models/{wildcards.model:q} --seed {params.seed:q}"
        " {params.engine:q} --out {output:q} 2>&1 | tee {log:q}"
