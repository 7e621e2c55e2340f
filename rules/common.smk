# The study, its cells, and the names that the other files share. Params with text of the user are functions: in a plain
# string, Snakemake would take `{x}` for a wildcard.
import os
import sys

# Hundreds of jobs share the compiled modules, and what is known of their imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

sys.path.insert(0, workflow.basedir)
# Unload the installed pardec, which the command that started this process may have imported.
for name in [name for name in sys.modules if name.split(".")[0] == "pardec"]:
    if not (sys.modules[name].__file__ or "").startswith(workflow.basedir):
        del sys.modules[name]

# Jobs run the code beside this Snakefile, whatever copy of pardec is installed. The scripts' folder stays off the path,
# since a script may have a library's name.
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        [workflow.basedir, *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
    PYTHONSAFEPATH="1",
)

from pardec.common.errors import UserError
from pardec.evidence.tables.registry import (
    FILES,
    TABLES,
    modules as table_modules,
    needs,
)
from pardec.report.figures.choice import figures_for
from pardec.report.figures.registry import FIGURES
from pardec.study.plan import read_plan
from pardec.study.run_progress import follow
from pardec.study.snakemake_patches import patch_snakemake
from snakemake.exceptions import WorkflowError

try:
    # Not Snakemake's own merge: a study that includes its files does not lie over config.yaml.
    PLAN = read_plan(
        workflow.basedir,
        workflow.config_settings.configfiles,
        workflow.config_settings.config_args or [],
    )
    # Report mistakes in a user's file before anything runs; the shipped files are tested.
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
# Where the profile asks for quiet; elsewhere, on a cluster too, Snakemake prints its own lines for each job.
if "RULES" in {kind.name for kind in workflow.output_settings.quiet or ()}:
    follow(
        PLAN.published_seconds(), restored=not PLAN.retrain, own=PLAN.published_itself()
    )

# A timing job needs the machine for itself, even if the command line does not limit jobs.
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
    """Returns a table's inputs by kind. given: paths by kind, except tables."""
    wanted = needs(table)
    files = {kind: given[kind] for kind in given if kind in wanted}
    tables = [f"results/tables/{name}.parquet" for name in wanted if name not in FILES]
    return {**files, "tables": tables}


def table_words(wildcards, input):
    """Returns the script's arguments for these inputs."""
    words = ["--inputs-from", *input.listed] if input.listed else []
    for kind in ("machine", "floors"):
        words += [f"--{kind}", input.get(kind)] if input.get(kind) else []
    if "ideas_file" in needs(wildcards.table):
        words += ["--ideas-file", PLAN.ideas_file()]
    return [*words, *(["--tables", *input.tables] if input.tables else [])]


def table_label(wildcards):
    """Returns a table's labels in Snakemake's report."""
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
    """Returns the function of a figure's labels in Snakemake's report."""
    return lambda w: {"figure": FIGURES.load(w.figure).title, "form": form}
