# Figures: SVG and PNG from tables, for those figures that this study has data for.
DRAWN = figures_for(PLAN.cells.values())
FIGURE_FILES = [
    f"results/figures/{name}.{kind}" for name in DRAWN for kind in ("svg", "png")
]
FIGURE_SIDECARS = [f"results/figures/{name}.provenance.json" for name in DRAWN]


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
        sidecar="results/figures/{figure}.provenance.json",
    log:
        "results/logs/figures/{figure}.log",
    conda:
        ENVIRONMENT
    threads: 1
    shell:
        "python scripts/draw_figure.py --figure {wildcards.figure:q} --tables {input.tables:q}"
        " --out-svg {output.svg:q} --out-png {output.png:q} 2>&1 | tee {log:q}"
