"""Models from a folder, the hub and a random generator. No test touches a network: the hub's client is
replaced."""

import errno
import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError

from pardec.common.errors import UserError
from pardec.common.files import read_json, sha256
from pardec.data.load import load_tokenizer
from pardec.data.tokenizers import byte_tokenizer, task_tokenizer
from pardec.models.checkpoints.configs import read_config
from pardec.models.checkpoints.shards import read_header
from pardec.models.load import load_model, save_model
from pardec.models.sources import hub, path, random
from tests.reference.models import backbone
from tests.script import run_script

REVISION = "0123456789abcdef0123456789abcdef01234567"
CONFIG = {"model_type": "llama", "vocab_size": 8, "is_causal": True}
SHAPE = {
    "source": "random",
    "family": "masked_diffusion",
    "vocab_size": 64,
    "hidden": 32,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "mlp": 48,
    "mask_id": 3,
}


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "from"
    save_model(backbone(True, vocab_size=40), folder)
    task_tokenizer("abc").save(folder / "tokenizer.json")
    (folder / "modeling.py").write_text("raise SystemExit('run')")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    return folder


class FakeHub:
    """Stands for `snapshot_download`: copies a local folder into a cache, and counts how often the network is
    used."""

    def __init__(self, origin, cache):
        self.origin, self.cache, self.downloads, self.online = origin, cache, 0, True
        self.asked = []

    def __call__(self, repo, revision, allow_patterns, local_files_only):
        from huggingface_hub.errors import LocalEntryNotFoundError

        self.asked.append((repo, revision, local_files_only))
        folder = self.cache / repo.replace("/", "--") / revision
        if local_files_only:
            if not folder.is_dir():
                raise LocalEntryNotFoundError("not in the cache")
            return str(folder)
        if not self.online:
            raise LocalEntryNotFoundError("cannot reach the hub")
        self.downloads += 1
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in allow_patterns:
            for file in self.origin.glob(pattern):
                shutil.copyfile(file, folder / file.name)
        return str(folder)


@pytest.fixture
def fake(checkpoint, tmp_path, monkeypatch):
    fake = FakeHub(checkpoint, tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.snapshot_download", fake)
    return fake


def hub_settings(**changes):
    return hub.HubSettings(**{"source": "hub", "repo": "some/model", "revision": REVISION, **changes})


def path_settings(folder, **changes):
    return path.PathSettings(source="path", path=str(folder), **changes)


def test_a_folder_is_copied_and_recorded(checkpoint, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.safetensors").write_bytes(b"left by an earlier checkpoint")
    source = path.fetch(path_settings(checkpoint), out, 0)
    assert sorted(p.name for p in out.iterdir()) == [
        "config.json",
        "model.safetensors",
        "source.json",
        "tokenizer.json",
    ]
    assert read_json(out / "source.json") == source
    for name, entry in source["files"].items():
        assert entry == {
            "sha256": sha256(checkpoint / name),
            "bytes": (checkpoint / name).stat().st_size,
            "linked": False,
        }
    assert not any((out / name).samefile(checkpoint / name) for name in source["files"])
    assert path.fetch(path_settings(checkpoint), out, 0) == source


def test_cached_weights_across_file_systems_are_symlinked(fake, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("cross-device link")

    monkeypatch.setattr("os.link", refuse)
    hub.fetch(hub_settings(), tmp_path / "out", 0)
    target = tmp_path / "out" / "model.safetensors"
    assert target.is_symlink() and target.samefile(fake.cache / f"some--model/{REVISION}/model.safetensors")


def test_weights_of_a_user_overwritten_in_place_leave_what_was_brought(checkpoint, tmp_path):
    source = path.fetch(path_settings(checkpoint), tmp_path / "out", 0)
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(bytes(weights.stat().st_size))
    name = tmp_path / "out" / "model.safetensors"
    assert sha256(name) == source["files"]["model.safetensors"]["sha256"] != sha256(weights)


def test_a_family_is_written_into_the_config(checkpoint, tmp_path):
    settings = path_settings(checkpoint, family="masked_diffusion", mask_id=5)
    before = read_json(checkpoint / "config.json")
    source = path.fetch(settings, tmp_path / "out", 0)
    config = read_json(tmp_path / "out" / "config.json")
    assert (config["is_causal"], config["mask_token_id"], config["pardec"]["family"]) == (
        False,
        5,
        "masked_diffusion",
    )
    assert source["config_changes"]["mask_token_id"] == 5
    assert read_json(checkpoint / "config.json") == before
    with pytest.raises(UserError, match="mask_token_id"):
        path.fetch(path_settings(checkpoint, family="masked_diffusion"), tmp_path / "out", 0)
    with pytest.raises(ValidationError, match="mask_id is for"):
        path_settings(checkpoint, mask_id=5)


def spoil(checkpoint, how):
    weights = checkpoint / "model.safetensors"
    if how == "no folder":
        shutil.rmtree(checkpoint)
    elif how == "no config":
        (checkpoint / "config.json").unlink()
    elif how == "pickles":
        weights.unlink()
    elif how == "cut":
        weights.write_bytes(weights.read_bytes()[:-4])
    elif how == "garbage":
        weights.write_bytes(b"\xff" * 64)
    elif how == "shard":
        index = {"weight_map": {"w": "model.safetensors", "v": "model-2.safetensors"}}
        (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("no folder", "is not a folder"),
        ("no config", "has no config.json"),
        ("pickles", r"only pickled weights \(pytorch_model.bin\)"),
        ("cut", "it should have"),
        ("garbage", "not a whole safetensors"),
        ("shard", "model-2.safetensors: is missing"),
    ],
)
def test_a_bad_folder_is_refused_and_nothing_is_written(checkpoint, tmp_path, how, says):
    spoil(checkpoint, how)
    with pytest.raises(UserError, match=says):
        path.fetch(path_settings(checkpoint), tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()


def test_a_folder_onto_itself_is_refused(checkpoint):
    with pytest.raises(UserError, match="is the folder to be written"):
        path.fetch(path_settings(checkpoint), checkpoint, 0)


def test_the_hub_is_asked_once_and_then_the_lock_holds(fake, tmp_path):
    out = tmp_path / "models" / "m"
    first = hub.fetch(hub_settings(), out, 0)
    assert fake.downloads == 1 and fake.asked[-1] == ("some/model", REVISION, False)
    assert (first["repo"], first["revision"]) == ("some/model", REVISION)
    shutil.rmtree(out)
    fake.online = False
    assert hub.fetch(hub_settings(), out, 0) == first
    assert fake.downloads == 1
    read_header(out / "model.safetensors")


def test_an_incomplete_cache_is_completed(fake, tmp_path):
    hub.fetch(hub_settings(), tmp_path / "m", 0)
    (fake.cache / "some--model" / REVISION / "tokenizer.json").unlink()
    hub.fetch(hub_settings(), tmp_path / "m", 0)
    assert fake.downloads == 2


def test_a_file_that_changed_is_refused(fake, checkpoint, tmp_path):
    hub.fetch(hub_settings(), tmp_path / "m", 0)
    cached = fake.cache / "some--model" / REVISION / "tokenizer.json"
    cached.write_text("{ }")
    with pytest.raises(UserError, match=r"tokenizer.json.*has SHA-256"):
        hub.fetch(hub_settings(), tmp_path / "m", 0)
    shutil.copy(checkpoint / "tokenizer.json", cached)
    right = {"model.safetensors": sha256(checkpoint / "model.safetensors")}
    assert hub.fetch(hub_settings(checksums=right), tmp_path / "n", 0)["files"]
    with pytest.raises(UserError, match="should have 0000"):
        hub.fetch(hub_settings(checksums={"model.safetensors": "0" * 64}), tmp_path / "n", 0)
    with pytest.raises(UserError, match=r"other.safetensors.*is not in commit"):
        hub.fetch(hub_settings(checksums={"other.safetensors": "0" * 64}), tmp_path / "n", 0)


def test_another_commit_ignores_the_lock(fake, checkpoint, tmp_path):
    hub.fetch(hub_settings(), tmp_path / "m", 0)
    task_tokenizer("abcd").save(checkpoint / "tokenizer.json")
    other = hub.fetch(hub_settings(revision="f" * 40), tmp_path / "m", 0)
    assert other["revision"] == "f" * 40 and fake.downloads == 2


def hub_errors():
    from huggingface_hub import errors

    answer = SimpleNamespace(headers={}, request=None)
    return [
        (errors.GatedRepoError("gated", response=answer), "is gated"),
        (errors.RepositoryNotFoundError("none", response=answer), "does not exist or is private"),
        (errors.RevisionNotFoundError("none", response=answer), "has no commit"),
        (errors.LocalEntryNotFoundError("cannot reach\nthe hub"), r"cannot be downloaded \(cannot reach\)"),
        (errors.OfflineModeIsEnabled("offline"), "cannot be downloaded"),
        (ConnectionError("refused"), "cannot be downloaded"),
        (OSError(errno.ENOSPC, "No space left on device"), "does not fit on the disk"),
    ]


@pytest.mark.parametrize("number", range(7))
def test_trouble_at_the_hub_is_told_once(monkeypatch, tmp_path, number):
    error, says = hub_errors()[number]

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(UserError, match=says):
        hub.fetch(hub_settings(), tmp_path / "m", 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("revision", ["main", "v1.0", "0123abc", REVISION.upper()])
def test_a_revision_that_can_move_is_refused(revision):
    with pytest.raises(ValidationError, match="revision"):
        hub_settings(revision=revision)


def test_a_random_model_has_a_shape_and_no_weights(tmp_path):
    source = random.fetch(random.RandomSettings(**SHAPE), tmp_path / "m", 7)
    config = read_json(tmp_path / "m" / "config.json")
    assert (config["weights"], config["seed"], source["seed"]) == ("random", 7, 7)
    shape = read_config(config, "config.json")
    assert (shape.kv_heads, shape.head_dim, shape.causal, shape.mask_id) == (2, 8, False, 3)
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["config.json", "source.json"]
    assert source["files"]["config.json"]["sha256"] == sha256(tmp_path / "m" / "config.json")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_random_model_is_drawn_from_its_seed(tmp_path, dtype):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        random.fetch(random.RandomSettings(**SHAPE), tmp_path / name, seed)
    a, b, c = (load_model(tmp_path / name, dtype=dtype) for name in "abc")
    assert a.info.attention == "bidirectional" and a.embedding.dtype == getattr(torch, dtype)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.embedding, c.embedding)
    tokens = torch.tensor([[1, 5, 3, 3]])
    assert torch.equal(a(tokens), b(tokens)) and bool(a(tokens).isfinite().all())
    assert a.embedding.float().std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"heads": 5, "kv_heads": None}, "do not divide hidden"),
        ({"kv_heads": 3}, "do not divide heads"),
        ({"mask_id": None}, "needs a mask_id"),
        ({"mask_id": 64}, "outside the vocabulary"),
        ({"head_dim": 7}, "odd"),
        ({"layers": 0}, "greater than or equal to 1"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changes, says):
    with pytest.raises(ValidationError, match=says):
        random.RandomSettings(**{**SHAPE, **changes})


def test_a_tokenizer_goes_with_it(tmp_path):
    task_tokenizer("abc").save(tmp_path / "t.json")
    settings = random.RandomSettings(**SHAPE, tokenizer=str(tmp_path / "t.json"))
    random.fetch(settings, tmp_path / "m", 0)
    assert (tmp_path / "m" / "tokenizer.json").read_bytes() == (tmp_path / "t.json").read_bytes()
    with pytest.raises(UserError, match="does not exist"):
        random.fetch(random.RandomSettings(**SHAPE, tokenizer=str(tmp_path / "u.json")), tmp_path / "m", 0)


def test_what_stands_beside_a_tokenizer_goes_with_it(tmp_path):
    (tmp_path / "t").mkdir()
    task_tokenizer("abc").save(tmp_path / "t" / "tokenizer.json")
    about = {"eos_token": "a", "bos_token": "b", "tokenizer_class": "PreTrainedTokenizerFast"}
    (tmp_path / "t" / "tokenizer_config.json").write_text(json.dumps(about))
    (tmp_path / "t" / "chat_template.jinja").write_text("{{ messages[0].content }} c")
    settings = random.RandomSettings(**SHAPE, tokenizer=str(tmp_path / "t" / "tokenizer.json"))
    source = random.fetch(settings, tmp_path / "m", 0)
    tokenizer = load_tokenizer(tmp_path / "m")
    names = ["a", "c"]
    assert [tokenizer.eos_id, tokenizer.encode_chat([{"role": "user", "content": "b"}])[-1]] == [
        tokenizer.tokenizer.token_to_id(name) for name in names
    ]
    assert {"tokenizer_config.json", "chat_template.jinja"} < source["files"].keys()
    followed = random.tokenizer_files(tmp_path / "t" / "tokenizer.json").values()
    assert set(followed) == set((tmp_path / "t").iterdir()), "a run follows each of them"
    assert set(load_model(tmp_path / "m").info.ends) == tokenizer.end_ids


def test_a_tokenizer_that_a_random_model_cannot_have_is_refused(tmp_path):
    byte_tokenizer().save(tmp_path / "t.json")
    settings = random.RandomSettings(**SHAPE, tokenizer=str(tmp_path / "t.json"))
    with pytest.raises(UserError, match=r"of id 259.*64 rows"):
        random.fetch(settings, tmp_path / "m", 0)


def fetched(settings, out):
    return run_script("fetch_model", "--name", "m", "--seed", 1, "--out", out, "--settings", settings)


def test_the_script(checkpoint, tmp_path):
    done = fetched(json.dumps({"source": "path", "path": str(checkpoint)}), tmp_path / "out")
    assert done.returncode == 0 and "3 files" in done.stdout
    assert (tmp_path / "out" / "source.json").exists()
    for settings, says in (
        (json.dumps({"source": "path", "path": "nowhere"}), "nowhere: is not a folder"),
        (json.dumps({"source": "path", "path": "x", "pat": 1}), "models.m.pat"),
        (json.dumps({"source": "pth"}), "did you mean 'path'"),
        (json.dumps({"source": "hub", "repo": "a/b", "revision": "main"}), "models.m.revision"),
        ("[1]", "not a JSON object"),
    ):
        done = fetched(settings, tmp_path / "bad")
        assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
        assert not (tmp_path / "bad").exists()


def test_a_published_shape_of_a_hub_model_is_checked():
    assert hub_settings(shape="llada-8b").shape == "llada-8b"
    with pytest.raises(ValidationError, match="did you mean 'llada-8b'"):
        hub_settings(shape="llada8b")
