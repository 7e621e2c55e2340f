# Timing: one job a cell, alone on the machine.
RECORDS = [PLAN.record(cell) for cell in PLAN.cells]


rule time_cell:
    input:
        model=lambda w: PLAN.cell_models(w.cell),
        prompts=lambda w: PLAN.cell_prompts(w.cell),
    output:
        "results/cells/{cell}/timing.json",
    log:
        "results/logs/cells/{cell}.log",
    priority: lambda w: PLAN.priority(w.cell)
    conda:
        ENVIRONMENT
    # A pool that runs several single-threaded jobs would time them against each other.
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        args=lambda w: PLAN.cell_args(w.cell),
        # As inputs, the files of the code would make planning five times as slow; a change of any changes this.
        code=lambda w: PLAN.code_digest("time_cell", w.cell),
    shell:
        "python scripts/time_cell.py {params.args} --out {output} 2>&1 | tee {log}"


# What a pass of a target costs by the tokens in it; only where an experiment drafts.
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
        args=lambda w: PLAN.verify_cost_args(w.model),
    shell:
        "python scripts/measure_verify_cost.py {params.args} --out {output} 2>&1 | tee {log}"
