# Figures: SVG and PNG, from tables only.
from pardec.report.figures.registry import FIGURES

FIGURE_FILES = [
    f"results/figures/{name}.{kind}" for name in FIGURES for kind in ("svg", "png")
]


def figure_tables(wildcards):
    figure = FIGURES.load(wildcards.figure)
    return [f"results/tables/{name}.csv" for name in (*figure.tables, *figure.optional)]


rule draw_figure:
    input:
        tables=figure_tables,
        code=lambda w: PLAN.code("draw_figure", [FIGURES.module(w.figure)]),
    output:
        svg="results/figures/{figure}.svg",
        png="results/figures/{figure}.png",
    log:
        "results/logs/figures/{figure}.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/draw_figure.py --figure {wildcards.figure} --tables {input.tables}"
        " --out-svg {output.svg} --out-png {output.png} 2>&1 | tee {log}"
