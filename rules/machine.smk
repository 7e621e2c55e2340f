# The machine: its facts, its copy and matmul rates, and a burn-in before timing.
# Both jobs come first by priority and are not inputs of a record, which states its machine itself. As inputs, even
# `ancient` ones, they would hide missing records from Snakemake in a run that remakes them.
MACHINE = "results/machine.json"
WARM_UP = "results/warmup.json"


rule describe_machine:
    input:
        code=PLAN.code("describe_machine"),
    output:
        MACHINE,
    log:
        "results/logs/machine.log",
    priority: 300000
    conda:
        ENVIRONMENT
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        device=PLAN.device_words(),
    shell:
        "python scripts/describe_machine.py {params.device:q} --out {output:q} 2>&1 | tee {log:q}"


rule warm_up:
    input:
        MODEL_FILES,
        code=PLAN.code("warm_up"),
    output:
        WARM_UP,
    log:
        "results/logs/warmup.log",
    priority: 200000
    conda:
        ENVIRONMENT
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        device=PLAN.device_words(),
    shell:
        "python scripts/warm_up.py {params.device:q} --out {output:q} 2>&1 | tee {log:q}"
