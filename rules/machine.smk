# The machine: what it is, how fast it copies and multiplies, and a burn-in before anything is timed.
# Both come first by priority. As inputs of the records, even `ancient` ones, they would hide missing records from
# Snakemake in a run in which they are made again themselves.
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
        args=PLAN.machine_args(),
    shell:
        "python scripts/describe_machine.py {params.args} --out {output} 2>&1 | tee {log}"


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
        args=PLAN.machine_args(),
    shell:
        "python scripts/warm_up.py {params.args} --out {output} 2>&1 | tee {log}"
