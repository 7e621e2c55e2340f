"""The hub down, slow, gated, lying: a server of our own speaks its protocol, and the real client asks it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from safetensors.torch import save

from pardec.data.tokenizers import task_tokenizer
from pardec.models.checkpoints.backbone import BackboneCheckpoint
from pardec.models.checkpoints.configs import config_json
from tests.reference.models import backbone

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
REVISION = "0123456789abcdef0123456789abcdef01234567"
MODEL = backbone(True)
FILES = {
    "config.json": json.dumps(config_json(MODEL.config)).encode(),
    "tokenizer.json": task_tokenizer("abc").tokenizer.to_str().encode(),
    "model.safetensors": save(BackboneCheckpoint.tensors(MODEL)),
    "modeling_evil.py": b"raise SystemExit('run')",
}


class Hub(BaseHTTPRequestHandler):
    mood = "fine"

    def log_message(self, *words):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        mood = type(self).mood
        if mood == "slow":
            time.sleep(30)
        if mood == "gated":
            return self.send(
                403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}
            )
        if mood == "gone":
            return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if mood == "broken":
            return self.send(500, b"internal error")
        if self.path.startswith("/api/models/"):
            siblings = [{"rfilename": name} for name in FILES]
            about = {"id": "some/model", "modelId": "some/model", "sha": REVISION, "siblings": siblings}
            listing = [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                for name, data in FILES.items()
            ]
            result = listing if "/tree/" in self.path else about
            return self.send(200, json.dumps(result).encode(), {"Content-Type": "application/json"}, body)
        name = self.path.split("?")[0].rsplit("/", 1)[-1]
        if name not in FILES:
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = FILES[name]
        sent = (
            b"<html>sign in to this wireless network"
            if mood == "lying" and name.endswith("tensors")
            else data
        )
        etag = hashlib.sha256(sent).hexdigest()
        return self.send(200, sent, {"X-Repo-Commit": REVISION, "ETag": f'"{etag}"'}, body)

    def send(self, status, data, headers=None, body=True):
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


@contextmanager
def hub(mood):
    kind = type("Hub", (Hub,), {"mood": mood})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def fetch(tmp_path, endpoint, **settings):
    asked = {"source": "hub", "repo": "some/model", "revision": REVISION, **settings}
    command = [sys.executable, "scripts/fetch_model.py", "--name", "m", "--seed", "1"]
    command += ["--out", str(tmp_path / "m"), "--settings", json.dumps(asked)]
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    env |= {
        "HF_HUB_ETAG_TIMEOUT": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "*",
    }
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        env.pop(name, None)
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=110)


def refused(done, says, out):
    assert done.returncode == 2, done.stderr
    assert says in done.stderr and done.stderr.count("fix: ") == 1 and "Traceback" not in done.stderr, (
        done.stderr
    )
    assert not (out / "source.json").exists(), "a model that was not fetched looks fetched"


def test_a_good_hub_gives_the_model_and_none_of_its_code(tmp_path):
    with hub("fine") as endpoint:
        done = fetch(tmp_path, endpoint)
    assert done.returncode == 0, done.stderr
    kept = sorted(path.name for path in (tmp_path / "m").iterdir())
    assert kept == ["config.json", "model.safetensors", "provenance.json", "source.json", "tokenizer.json"]
    # Down from now on: the lock and the cache are enough.
    again = fetch(tmp_path, "http://127.0.0.1:9")
    assert again.returncode == 0, again.stderr


def test_a_hub_that_is_down(tmp_path):
    refused(fetch(tmp_path, "http://127.0.0.1:9"), "cannot be downloaded", tmp_path / "m")


@pytest.mark.parametrize(
    ("mood", "says"),
    [
        ("slow", "cannot be downloaded"),
        ("broken", "cannot be downloaded"),
        ("gated", "is gated"),
        ("gone", "does not exist or is private"),
        ("lying", "not a whole safetensors file"),
    ],
)
def test_a_hub_with_a_mood(tmp_path, mood, says):
    with hub(mood) as endpoint:
        refused(fetch(tmp_path, endpoint), says, tmp_path / "m")


def test_a_wrong_checksum(tmp_path):
    right = hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    with hub("fine") as endpoint:
        done = fetch(tmp_path, endpoint, checksums={"model.safetensors": "0" * 64})
        refused(done, right, tmp_path / "m")
        assert fetch(tmp_path, endpoint, checksums={"model.safetensors": right}).returncode == 0
