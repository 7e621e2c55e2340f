"""A program that a model wrote harms nothing and fails its problem, whatever it tries."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from pardec.quality import sandbox, unit_tests
from pardec.quality.base import Context

ROOT = Path(__file__).parents[2]
WAYS = [name for name in sandbox.WAYS if sandbox._ends("pass", name)]
pytestmark = pytest.mark.skipif(not WAYS, reason=sandbox.NONE)


@pytest.fixture(params=WAYS or ["none"])
def ends(request, monkeypatch):
    monkeypatch.setattr(sandbox, "SECONDS", 4)
    return lambda source: sandbox._ends(source, request.param)


def test_a_program_that_is_right_passes_and_one_that_is_wrong_or_leaves_early_fails(ends):
    assert ends("import math, json, re, collections, heapq\nassert math.gcd(4, 6) == 2")
    assert not ends("assert False")
    assert not ends("def f(:\n")
    assert not ends("import os; os._exit(0)")
    assert not ends("raise SystemExit(0)")
    assert ends("assert 'é日' == chr(233) + chr(0x65e5)")
    assert not ends("x = '\ud800'"), "half a character is no Python"


def test_nothing_outside_can_be_deleted_written_or_read(ends, tmp_path):
    kept = tmp_path / "kept.txt"
    kept.write_text("mine")
    for wish in (
        f"os.remove({str(kept)!r})",
        f"open({str(kept)!r}, 'w')",
        f"shutil.rmtree({str(tmp_path)!r})",
    ):
        assert not ends(f"import os, shutil\n{wish}")
    assert not ends(f"open({str(kept)!r}).read()"), "folders of temporary files are covered"
    assert not ends(f"open({os.path.realpath(sys.executable)!r}, 'ab')")
    assert not ends(f"import os; os.kill({os.getpid()}, 0)")
    assert kept.read_text() == "mine"
    # Its own folder is empty, may be written, and is gone afterwards.
    assert ends(
        "import os\nassert set(os.listdir('.')) <= {'confined.py'}\nopen('a', 'w').write('x')\nos.mkdir('b')"
    )
    assert not os.path.exists("/tmp/a")


def test_files_of_the_system_are_read_only(ends):
    """Also where anybody may write, and no empty folder covers them."""
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".sandbox-") as folder:
        kept = Path(folder) / "kept.txt"
        kept.write_text("mine")
        os.chmod(folder, 0o777)
        os.chmod(kept, 0o666)
        for wish in (
            f"os.remove({str(kept)!r})",
            f"open({str(kept)!r}, 'a')",
            f"os.mkdir({folder + '/new'!r})",
        ):
            assert not ends(f"import os\n{wish}")
        assert kept.read_text() == "mine" and os.listdir(folder) == ["kept.txt"]


def test_the_environment_is_empty(ends, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    assert ends("import os\nassert set(os.environ) <= {'LC_CTYPE', 'PWD'}, dict(os.environ)")


def test_it_gets_no_rights_back(ends):
    mount = "import ctypes\nassert ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, b'') == 0"
    assert not ends(mount)
    assert not ends("import os; os.setuid(0)\nassert os.getuid() == 0 and open('/etc/x', 'w')")


def test_it_opens_no_connection(ends):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        came = []
        listening = threading.Thread(target=lambda: came.append(accepted(server)))
        listening.start()
        assert not ends(
            f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        )
        listening.join()
    assert came == [False]


def accepted(server) -> bool:
    try:
        server.accept()[0].close()
    except TimeoutError:
        return False
    return True


def test_it_ends_with_all_that_it_started(ends, monkeypatch):
    monkeypatch.setattr(sandbox, "SECONDS", 1)
    name = f"pardec-{os.getpid()}"
    begin = time.monotonic()
    assert not ends("import time; time.sleep(60)")
    assert not ends("while True: pass")
    fork = f"import os, time\nfor _ in range(1000):\n    os.fork()\nopen({name!r}, 'w')\ntime.sleep(60)"
    assert not ends(fork)
    apart = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(63.25)\ntime.sleep(60)"
    assert not ends(apart)
    assert time.monotonic() - begin < 60
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in running.splitlines() if "token, _, source" in line]


def test_it_gets_no_more_memory_and_no_larger_file_than_allowed(ends):
    assert ends("x = bytearray(1 << 26)")
    assert not ends("x = bytearray(3 << 30)")
    assert not ends(
        "open('a', 'wb').write(bytes(1 << 22))\nassert __import__('os').path.getsize('a') == 1 << 22"
    )


def test_without_a_sandbox_no_program_runs(monkeypatch):
    monkeypatch.setattr(unit_tests, "way", lambda: None)
    monkeypatch.setattr(unit_tests, "passes", lambda _: pytest.fail("ran"))
    context = Context(run_code=True)
    row = {"prompt": "def f():\n", "text": "    return 1\n", "answer": "def check(c):\n    pass\n"}
    assert unit_tests.UnitTests().measure([row], context).value is None
    assert "install bubblewrap" in context.facts["unit_tests"]["reason"]


def test_bubblewrap_is_used_where_namespaces_are_forbidden(monkeypatch):
    asked = []
    monkeypatch.setattr(sandbox, "_ends", lambda source, how: asked.append(how) or how == "bubblewrap")
    sandbox.way.cache_clear()
    try:
        assert sandbox.way() == "bubblewrap" and asked == ["namespaces", "bubblewrap"]
    finally:
        sandbox.way.cache_clear()
    assert shutil.which("bwrap") is None or "bubblewrap" in WAYS
