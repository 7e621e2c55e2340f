# The study, its cells, and what every rule file uses. In the rules that follow, params are functions wherever a user's
# words are in them: in plain text Snakemake would take `{x}` for a wildcard.
import os
import sys

sys.path.insert(0, workflow.basedir)
# The command that started this process may have loaded another pardec, the installed one.
for name in [name for name in sys.modules if name.split(".")[0] == "pardec"]:
    if not (sys.modules[name].__file__ or "").startswith(workflow.basedir):
        del sys.modules[name]

# Jobs must run the code beside this Snakefile, whatever copy of pardec is installed; and a script's own folder has no
# place on the path, since a script may be called like a library.
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        [workflow.basedir, *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
    PYTHONSAFEPATH="1",
)

from pardec.common.errors import UserError
from pardec.evidence.tables.registry import FILES, TABLES, modules as table_modules, needs
from pardec.report.figures.choice import figures_for
from pardec.report.figures.registry import FIGURES
from pardec.study.plan import Plan
from pardec.study.snakemake_patches import patch_snakemake
from snakemake.exceptions import WorkflowError

try:
    PLAN = Plan(
        config,
        workflow.configfiles,
        workflow.basedir,
        workflow.config_settings.config_args or [],
    )
    # A mistake in a user's own file is told before anything runs; the project's are tested.
    for path in PLAN.claims_files():
        if os.path.relpath(path, workflow.basedir) != "studies/claims.yaml":
            from pardec.evidence.claims import load_claims

            load_claims(path)
    if os.path.relpath(PLAN.ideas_file(), workflow.basedir) != "studies/ideas.yaml":
        from pardec.evidence.ideas import load_ideas

        load_ideas(PLAN.ideas_file())
except UserError as error:
    raise WorkflowError(f"error: {error}") from None

patch_snakemake()

# A timing job needs the machine for itself, also where nobody said so on the command line.
workflow.global_resources.setdefault("gpu", 1)

ENVIRONMENT = "../envs/pardec.yaml"


# Used with --sdm apptainer only; built by `apptainer build envs/pardec.sif envs/pardec.def`.
container: "envs/pardec.sif"


wildcard_constraints:
    data="[^/]+",
    model="[^/]+",
    table="[^/]+",
    figure="[^/]+",


def table_inputs(table, given):
    """What a table is built from, by kind. given: paths by kind, of what is no table."""
    wanted = needs(table)
    files = {kind: given[kind] for kind in given if kind in wanted}
    tables = [f"results/tables/{name}.parquet" for name in wanted if name not in FILES]
    return {**files, "tables": tables}


def table_words(wildcards, input):
    """The words that name these inputs."""
    words = ["--inputs-from", *input.listed] if input.listed else []
    for kind in ("machine", "floors"):
        words += [f"--{kind}", input.get(kind)] if input.get(kind) else []
    if "ideas_file" in needs(wildcards.table):
        words += ["--ideas-file", PLAN.ideas_file()]
    return [*words, *(["--tables", "results/tables"] if input.tables else [])]


def table_label(wildcards):
    """How Snakemake's own report names a table."""
    return {
        "table": wildcards.table,
        "holds": TABLES.load(wildcards.table).description,
    }


def figure_tables(wildcards):
    figure = FIGURES.load(wildcards.figure)
    return [
        f"results/tables/{name}.parquet" for name in (*figure.tables, *figure.optional)
    ]


def figure_label(form):
    """How Snakemake's own report names a figure."""
    return lambda w: {"figure": FIGURES.load(w.figure).title, "form": form}
