"""The fork helper: isolation, fresh code, exit codes, no orphans."""

import array
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pardec.measure import forkserver, handover, supervise

CLIENT = "import sys; from pardec.measure import handover; sys.exit(handover.run(sys.argv[1:]))"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A socket folder of this test's own, so that no other run's helper is used or stopped."""
    folder = tmp_path_factory.mktemp("forks")
    yield folder
    for line in os.popen("ps -eo pid,args").read().splitlines():
        if "forkserver.py" in line and str(folder) in line:
            os.kill(int(line.split()[0]), signal.SIGKILL)


def client(place, script, *args, **kwargs):
    env = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(script), *args], env=env, text=True, stdout=-1, stderr=-1, **kwargs
    )


def write(path, text):
    path.write_text(text)
    return path


def test_runs_the_script_as_if_started_plainly(place, tmp_path):
    script = write(
        tmp_path / "job.py",
        "import os, sys\n"
        "print(sys.argv[1:], os.getcwd(), __name__, 'torch' in sys.modules, os.environ['PARDEC_LAUNCH'])\n"
        "print('heard', file=sys.stderr)\nsys.exit(7)\n",
    )
    process = client(place, script, "a", "b c", cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert out.split("\n")[0] == f"['a', 'b c'] {tmp_path} __main__ True forked"
    assert "heard" in err and process.returncode == 7


def test_each_run_reads_the_script_anew_and_shares_nothing(place, tmp_path):
    body = "import builtins\nprint(getattr(builtins, 'left_behind', 'clean'), {n})\nbuiltins.left_behind = 'dirty'\n"
    for n in (1, 2):
        script = write(tmp_path / "job.py", body.format(n=n))
        out, _ = client(place, script).communicate(timeout=60)
        assert out.strip() == f"clean {n}"


def test_a_failing_script_fails(place, tmp_path):
    script = write(tmp_path / "job.py", "raise ValueError('no good')")
    process = client(place, script)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "no good" in err


def test_child_dies_with_its_client(place, tmp_path):
    script = write(
        tmp_path / "job.py",
        "import os, time\nprint(os.getpid(), flush=True)\nfor _ in range(600): time.sleep(0.1)",
    )
    process = client(place, script)
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    for _ in range(50):
        if not Path(f"/proc/{child}").exists():
            return
        time.sleep(0.1)
    pytest.fail("the child outlived its client")


def test_a_killed_child_is_an_error(place, tmp_path):
    script = write(tmp_path / "job.py", "import os\nos.kill(os.getpid(), 9)")
    process = client(place, script)
    process.communicate(timeout=60)
    assert process.returncode == 137


def test_refuses_to_fork_with_threads(monkeypatch):
    monkeypatch.setattr(forkserver.os, "listdir", lambda path: ["1", "2"])
    assert not forkserver.safe_to_fork()
    monkeypatch.setattr(forkserver.os, "listdir", lambda path: ["1"])
    assert forkserver.safe_to_fork()


def test_without_a_server_the_caller_goes_on_alone(monkeypatch):
    monkeypatch.setattr(handover, "_connect", lambda path: None)
    monkeypatch.setattr(handover, "_start", lambda path, kind: None)
    assert handover.run(["x.py"]) is None


def test_a_script_hands_itself_over_once(place, tmp_path):
    script = write(
        tmp_path / "job.py",
        "import os, sys\nfrom pardec.measure import handover\n"
        "print('seen', os.environ.get('PARDEC_LAUNCH', 'plain'), flush=True)\n"
        "handover.hand_over()\nprint('worked', os.environ['PARDEC_LAUNCH'])\nsys.exit(5)\n",
    )
    env = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(Path(__file__).parents[2])}
    env.pop("PARDEC_LAUNCH", None)
    done = subprocess.run([sys.executable, script], env=env, text=True, capture_output=True, timeout=60)
    assert done.stdout.split("\n")[:-1] == ["seen plain", "seen forked", "worked forked"]
    assert done.returncode == 5


def test_a_child_that_cannot_use_cuda_runs_nothing_and_its_cell_starts_afresh(tmp_path, monkeypatch):
    """Where the server has touched the driver, with a context or without one, CUDA is lost in what it forks."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    script = write(tmp_path / "job.py", f"open({str(tmp_path / 'ran')!r}, 'w')")
    pid = os.fork()
    if pid == 0:
        request = {
            "argv": [str(script)],
            "cwd": str(tmp_path),
            "env": dict(os.environ),
            "unfit": handover.UNFIT,
        }
        forkserver._child(request, array.array("i", [os.dup(1), os.dup(1), os.dup(2)]))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == handover.UNFIT
    assert not (tmp_path / "ran").exists()

    class Answers:
        """A connection to a server that accepted, and whose child said so."""

        lines = [b"accepted\n", b"%d\n" % handover.UNFIT]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def __getattr__(self, name):
            return lambda *_: None

        def recv(self, size):
            return self.lines.pop(0)

    assert handover._ask(Answers(), ["job.py"], 1.0) is None


@pytest.mark.parametrize(
    ("isolation", "device", "fresh"),
    [("auto", "cpu", False), ("auto", "cuda", True), ("auto", "cuda:1", True), ("forked", "cuda", False),
     ("fresh", "cpu", True)],
)  # fmt: skip
def test_cells_on_cuda_start_afresh_unless_told_otherwise(isolation, device, fresh):
    assert supervise.starts_fresh(isolation, device) is fresh


def test_tables_and_figures_are_forked_from_a_server_of_their_own(place, tmp_path):
    """It has loaded their libraries without a thread, which would forbid forking, and none of the models'."""
    script = write(
        tmp_path / "job.py",
        "import os, sys\nfrom pardec.measure import handover\nhandover.hand_over('tables')\n"
        "names = ('pandera.pandas', 'pyarrow.parquet', 'matplotlib.figure', 'torch')\n"
        "print(os.environ.get('PARDEC_LAUNCH'), *(name in sys.modules for name in names))\n",
    )
    env = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(Path(__file__).parents[2])}
    env.pop(handover.LAUNCH, None)
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["forked", "True", "True", "True", "False"], done.stderr


def test_a_temporary_folder_too_long_for_a_socket_has_no_server(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(handover, "_start", lambda path, kind: pytest.fail("it could not listen there"))
    assert handover.run(["x.py"]) is None


def test_the_client_imports_little():
    """Hundreds of jobs start it, each in an interpreter of its own."""
    heavy = ("argparse", "json", "subprocess", "tempfile", "hashlib", "pathlib", "pydantic", "pardec.jobs")
    code = f"import sys; import pardec.measure.supervise; print([n for n in {heavy!r} if n in sys.modules])"
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-S", "-c", code]  # site packages may load some of them at any start
    done = subprocess.run(command, env={"PYTHONPATH": root}, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("words", "value"),
    [(["--out", "a"], "a"), (["--out=a"], "a"), (["--out", "a", "--out=b"], "b"), (["--outer", "a"], None),
     (["--out"], None), ([], None)],
)  # fmt: skip
def test_the_value_of_an_option_without_a_parser(words, value):
    assert supervise.option(["x.py", *words], "--out") == value
