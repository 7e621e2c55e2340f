# The study, its cells, and the helpers every rule file uses.
import os
import shlex
import sys

sys.path.insert(0, workflow.basedir)
# Jobs must run the code beside this Snakefile, whatever copy of pardec is installed; and a script's own folder has no
# place on the path, since a script may be called like a library.
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        [workflow.basedir, *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
    PYTHONSAFEPATH="1",
)

from pardec.common.errors import UserError
from pardec.evidence.tables.registry import FILES, TABLES, needs
from pardec.report.figures.registry import FIGURES
from pardec.study.plan import Plan
from pardec.study.planning import lean_planning
from pardec.study.scheduling import calm_scheduler

try:
    said = workflow.config_settings.config_args or []
    PLAN = Plan(config, workflow.configfiles, workflow.basedir, said)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

# Its planning would take half as long again.
lean_planning()
# And its scheduler would take a core from the cells that are timed.
calm_scheduler()

# A timing job needs the machine for itself, also where nobody said so on the command line.
workflow.global_resources.setdefault("gpu", 1)

ENVIRONMENT = "../envs/pardec.yaml"

# What the study's claims and drafting ideas are: data that tables and verdicts are made from.
def beside(path):
    """A file of the study: in the working directory, else in the project."""
    there = os.path.join(workflow.basedir, path)
    return path if os.path.exists(path) or not os.path.exists(there) else there


CLAIMS_FILES = list(map(beside, PLAN.study.claims))
IDEAS_FILE = beside(PLAN.study.ideas)
try:
    # A mistake in a user's own file is told before anything runs; the project's are tested.
    for path in CLAIMS_FILES:
        if os.path.relpath(path, workflow.basedir) != "studies/claims.yaml":
            from pardec.evidence.claims import load_claims

            load_claims(path)
    if os.path.relpath(IDEAS_FILE, workflow.basedir) != "studies/ideas.yaml":
        from pardec.evidence.ideas import load_ideas

        load_ideas(IDEAS_FILE)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


# Used with --sdm apptainer only; built by `apptainer build envs/pardec.sif envs/pardec.def`.
container: "envs/pardec.sif"


wildcard_constraints:
    data="[^/]+",
    model="[^/]+",
    table="[^/]+",
    figure="[^/]+",


def table_inputs(wildcards):
    """What a table is built from, by kind."""
    available = {
        "records": RECORDS,
        "scores": SCORES,
        "likelihoods": LIKELIHOODS,
        "verify_costs": VERIFY_COSTS,
        "machine": [MACHINE],
        "floors": [FLOORS],
        "ideas_file": [IDEAS_FILE],
    }
    wanted = needs(wildcards.table)
    found = {kind: available[kind] for kind in FILES if kind in wanted}
    found["tables"] = [
        f"results/tables/{name}.parquet" for name in wanted if name not in FILES
    ]
    return found


def table_lists(wildcards, input):
    """Flags that name the inputs; a list of files can be longer than a command line may be, so it stands in a file."""
    flags = []
    if any(
        kind in needs(wildcards.table)
        for kind in ("records", "scores", "likelihoods", "verify_costs")
    ):
        flags.append("--inputs-from results/lists/inputs.txt")
    if "machine" in needs(wildcards.table):
        flags.append(f"--machine {MACHINE}")
    if "floors" in needs(wildcards.table):
        flags.append(f"--floors {FLOORS}")
    if "ideas_file" in needs(wildcards.table):
        flags.append(f"--ideas-file {shlex.quote(IDEAS_FILE)}")
    if input.tables:
        flags.append("--tables results/tables")
    return " ".join(flags)


def figure_tables(wildcards):
    figure = FIGURES.load(wildcards.figure)
    return [f"results/tables/{name}.parquet" for name in (*figure.tables, *figure.optional)]


def table_label(wildcards):
    """How Snakemake's own report names a table."""
    return {
        "table": wildcards.table,
        "holds": TABLES.load(wildcards.table).description,
    }


def figure_label(form):
    """How Snakemake's own report names a figure."""
    return lambda w: {"figure": FIGURES.load(w.figure).title, "form": form}


def job_papers(wildcards=None):
    """The provenance of all jobs but the two last: that which counts them, and the page."""
    last = ("results/jobs.provenance.json", "results/report.provenance.json")
    return [paper for paper in PAPERS if paper not in last]
