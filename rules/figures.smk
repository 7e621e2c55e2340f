# Figures: SVG and PNG, from tables only.
from pardec.report.figures.registry import FIGURES

FIGURE_FILES = [
    f"results/figures/{name}.{kind}" for name in FIGURES for kind in ("svg", "png")
]
FIGURE_PAPERS = [f"results/figures/{name}.provenance.json" for name in FIGURES]


rule draw_figure:
    input:
        tables=figure_tables,
        code=lambda w: PLAN.code("draw_figure", modules=[FIGURES.module(w.figure)]),
    output:
        svg=report(
            "results/figures/{figure}.svg",
            caption="../report/snakemake/figure.rst",
            category="Figures",
            labels=figure_label("SVG"),
        ),
        png=report(
            "results/figures/{figure}.png",
            caption="../report/snakemake/figure.rst",
            category="Figures",
            labels=figure_label("PNG"),
        ),
        paper="results/figures/{figure}.provenance.json",
    log:
        "results/logs/figures/{figure}.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/draw_figure.py --figure {wildcards.figure} --tables {input.tables}"
        " --out-svg {output.svg} --out-png {output.png} 2>&1 | tee {log}"
