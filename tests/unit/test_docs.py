"""What README and docs show, done."""

import re
import sys
import types
from pathlib import Path

import pytest

from pardec.cli.main import app
from pardec.decoding.batching import pad_left
from pardec.decoding.registry import DECODERS
from pardec.decoding.speculative.registry import DRAFTERS, TRUNCATIONS
from pardec.study.layers import read_study
from pardec.study.load import load_study
from tests.reference.models import backbone

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.S)


def test_the_example_study_is_valid(tmp_path):
    (overlay,) = blocks("README.md", "yaml")
    file = tmp_path / "my-study.yaml"
    (tmp_path / "studies").symlink_to(ROOT / "studies")
    file.write_text(overlay)
    study, cells = load_study(read_study(ROOT, [file])[0])
    assert set(study.experiments) == {"lookup"} and [cell.arm for cell in cells.values()] == ["lookup"]
    assert not study.floors and study.likelihood is None


def test_the_example_decoder_decodes(monkeypatch):
    code, line = (block for block in blocks("docs/extending.md", "python") if "mine" in block)
    module = types.ModuleType("pardec.decoding.mine")
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(
        DECODERS, "entries", {**DECODERS.entries, **eval("{" + line.partition("\n")[2] + "}")}
    )
    decoder = DECODERS.load("mine")
    model = backbone(causal=False)
    decoded = decoder(decoder.Settings(passes=3)).decode(model, pad_left([[1, 5], [1, 5, 6]], None, 0), 4)
    assert decoded.tokens.shape == (2, 4) and decoded.nfe == 3
    assert (decoded.useful <= 4).all()


def test_the_example_drafter_drafts(monkeypatch):
    code, line = (block for block in blocks("docs/extending.md", "python") if "repeat" in block)
    module = types.ModuleType("pardec.decoding.speculative.repeat")
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entries = {**DRAFTERS.entries, **eval("{" + line.partition("\n")[2] + "}")}
    monkeypatch.setattr(DRAFTERS, "entries", entries)
    drafter = DRAFTERS.load("repeat")
    model = backbone(causal=True)
    prompts = pad_left([[1, 5], [1, 5, 6]], None, 0)
    plain = DECODERS.load("autoregressive")
    drafting = DECODERS.load("speculative")
    settings = drafting.Settings().model_copy(update={"drafter": drafter.Settings(), "block": 4})
    right = plain(plain.Settings()).decode(model, prompts, 8).tokens
    assert drafting(settings).decode(model, prompts, 8).tokens.tolist() == right.tolist()


def test_the_example_idea_cuts_drafts(monkeypatch):
    code, line = (block for block in blocks("docs/extending.md", "python") if "half" in block)
    module = types.ModuleType("pardec.decoding.speculative.half")
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(
        TRUNCATIONS, "entries", {**TRUNCATIONS.entries, **eval("{" + line.partition("\n")[2] + "}")}
    )
    strategy = TRUNCATIONS.load("half")
    assert strategy(strategy.Settings(share=0.5)).keep([1, 2, 3, 4], ()) == 2
    assert strategy(strategy.Settings(share=1)).keep([1, 2, 3], ()) == 3, "switched off it cuts nothing"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_target_a_page_names_exists(page):
    text, makefile = page.read_text(), (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)[ `]", text):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for path in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / path).exists(), path
    for path in re.findall(r"`((?:pardec|studies|scripts|rules|docs|profiles|envs)/[\w./-]+\.\w+)`", text):
        assert (ROOT / path).exists(), path


def test_every_command_of_the_readme_is_one():
    text = "\n".join(blocks("README.md", "bash"))
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    for command in re.findall(r"^pardec (\w+)", text, re.M):
        assert command in commands, command


def test_every_decoder_is_in_the_table():
    table = (ROOT / "docs/decoders.md").read_text()
    for name in DECODERS:
        assert f"| `{name}`" in table, name


def test_the_readme_is_read_in_one_sitting():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_tutorial_reads_a_number(finished, monkeypatch, capsys):
    """Its Python runs on a finished run and prints an id, an interval, a command and samples."""
    monkeypatch.chdir(finished.parent)
    (code,) = blocks("docs/tutorial.md", "python")
    exec(code, {})
    lines = capsys.readouterr().out.splitlines()
    assert "latency_ms" in lines[0] and "python" in lines[1] and lines[2].startswith("[")
