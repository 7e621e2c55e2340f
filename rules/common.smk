# The study, its cells, and the helpers every rule file uses.
import os
import sys

sys.path.insert(0, workflow.basedir)
# Jobs must run the code beside this Snakefile, whatever copy of pardec is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [workflow.basedir, *filter(None, [os.environ.get("PYTHONPATH")])]
)
# A script's folder has no place on the path: a script may be called like a library.
os.environ["PYTHONSAFEPATH"] = "1"

from pardec.common.errors import UserError
from pardec.study.plan import Plan

try:
    said = workflow.config_settings.config_args or []
    PLAN = Plan(config, workflow.configfiles, workflow.basedir, said)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

# A timing job needs the machine for itself, also where nobody said so on the command line.
workflow.global_resources.setdefault("gpu", 1)

ENVIRONMENT = "../envs/pardec.yaml"


wildcard_constraints:
    data="[^/]+",
    model="[^/]+",
    table="[^/]+",
    figure="[^/]+",
