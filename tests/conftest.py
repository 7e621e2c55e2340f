"""One real run of the smoke study in a copy of the project; tests look at it and disturb it."""

import contextlib
import gc
import importlib
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[1]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
SMOKE = ("--configfile", "studies/smoke.yaml")


def pytest_sessionstart(session):
    """Each process imports a part of its own first: in a fresh clone no test is compiled yet, and processes that go
    through them in the same order would each compile all of them, at the same moment."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if number.isdigit():
        files = sorted(path for name in session.config.args for path in Path(name).glob("test_*.py"))
        for path in files[int(number) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]:
            imported(path)


def imported(path):
    """Import a file of tests as collecting it will, which says what is wrong where it cannot be imported."""
    folder = str(path.parent)
    sys.path.insert(0, folder)
    with contextlib.suppress(Exception, pytest.skip.Exception):
        importlib.import_module(path.stem)
    sys.path.remove(folder)  # and nothing else: what the file has put there itself stays


def pytest_collection_modifyitems(items):
    """The smoke study begins at once in one process; another tests half of the units meanwhile. What needs its run
    follows, and the rest of the units last, since files of few seconds keep all processes busy to the end."""
    files = list(dict.fromkeys(item.path for item in items))
    units = [path for path in files if path.parent.name not in ("workflow", "browser")]
    early = set(units[: len(units) // 2])

    def place(item):
        if item.path.parent.name in ("workflow", "browser"):
            return 0 if item.path.name == "test_smoke.py" else 2
        return 1 if item.path in early else 3

    items.sort(key=lambda item: (place(item), files.index(item.path)))


def pytest_collection_finish():
    """What was imported stays: the collector of garbage need not walk through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def unflushed():
    """Files that tests write in this process need not outlive a power loss; flushing them takes longer than writing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


class Project:
    """A copy of the project and what Snakemake says in it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def snakemake(self, *args, study=SMOKE, check=True, target="all"):
        """Run snakemake; the target goes first, since some options would swallow it."""
        command = [str(SNAKEMAKE), target, "--cores", "2", "--resources", "gpu=1", *study, *args]
        env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=900, env=env)
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
        return done

    def planned(self, *args, study=SMOKE):
        """What a dry run would do: {rule: how many jobs}, empty when there is nothing to do."""
        return self.plan(*args, study=study)[0]

    def plan(self, *args, study=SMOKE):
        """The same, and the shell commands that a dry run would run."""
        done = self.snakemake("-n", "--printshellcmds", "--quiet", "host", *args, study=study)
        text = done.stdout + done.stderr
        if "Nothing to be done" in text:
            return {}, []
        stats = re.findall(r"^(\w+)\s+(\d+)$", text[text.rindex("Job stats:") :], re.M)
        commands = [line for line in text.splitlines() if "python scripts/" in line]
        return {rule: int(count) for rule, count in stats if rule != "total"}, commands

    def path(self, name):
        return self.folder / name


def copy_project(to: Path) -> Path:
    """The files git would give a clone, as they are in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """The smoke study, run once from nothing; PARDEC_SMOKE names a folder to keep it in while tests are written.

    The first process that asks runs it, and each disturbs a copy of its own. Like a clone, the copy has other times:
    what is up to date is decided by content.
    """
    kept = os.environ.get("PARDEC_SMOKE")

    def run(folder):
        (folder / "log").write_text(ran(Path(kept or folder / "project")).output)

    shared = once(tmp_path_factory, "smoke", run)
    mine = tmp_path_factory.mktemp("copied") / "project"
    original = Path(kept or shared / "project")
    project = Project(shutil.copytree(original, mine, symlinks=True, copy_function=shutil.copyfile))
    project.output = (shared / "log").read_text()
    return project


@pytest.fixture(scope="session")
def made_run(tmp_path_factory):
    """The results of a synthetic run, made once by whichever process asks first; nobody changes them."""
    from tests.finished_run import finished_run

    return once(tmp_path_factory, "made", finished_run) / "results"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return (folder, tables) of a synthetic run, see `factories.build_all`: the module's own copy, to change at will.

    The original is made once per session."""
    from tests import factories

    def make(folder):
        with contextlib.chdir(folder):
            (folder / "frames.pickle").write_bytes(pickle.dumps(factories.build_all(folder)))

    made = once(tmp_path_factory, "built", make)
    copy = shutil.copytree(made, tmp_path_factory.mktemp("built") / "run")
    with contextlib.chdir(copy):
        yield copy, pickle.loads((copy / "frames.pickle").read_bytes())


@pytest.fixture(scope="session")
def synthetic_folder(tmp_path_factory):
    """Return the folder of the synthetic report, see `report_fixtures.draw_all`; no test may change it."""
    from tests.report_fixtures import draw_all

    return once(tmp_path_factory, "synthetic", draw_all)


def once(tmp_path_factory, name, make):
    """A folder that `make` fills, by whichever of the processes that share the tests asks first."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = tmp_path_factory.mktemp(name)
        make(folder)
        return folder
    folder = tmp_path_factory.getbasetemp().parent / name
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="module")
def finished(made_run, tmp_path_factory):
    """A module's own copy of that run's results."""
    return shutil.copytree(made_run, tmp_path_factory.mktemp("run") / "results")


def ran(folder: Path) -> Project:
    """The smoke study in `folder`, and what Snakemake said of it."""
    project = Project(copy_project(folder))
    published = folder / "results/published"
    # Of the published runs, the one that is opened and compared in a second stands for the paper's.
    shutil.copyfile(published / "smollm2/run.tar.zst", published / "paper/run.tar.zst")
    first = project.snakemake()
    project.output = first.stdout + first.stderr
    return project


def links(link):
    """The link of a trace and all below it."""
    yield link
    for below in link.below:
        yield from links(below)
