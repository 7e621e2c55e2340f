"""What the README shows, done."""

import re
import sys
import types
from pathlib import Path

import yaml

from pardec.decoding.batching import pad_left
from pardec.decoding.registry import DECODERS
from pardec.study.load import lay_over, load_study
from tests.reference.models import backbone

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_example_study_is_valid():
    overlay = next(block for block in blocks("yaml") if "my-study.yaml" in block)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    study, cells = load_study(lay_over(config, yaml.safe_load(overlay)))
    assert set(study.experiments) == {"steps"} and len(cells) == 5
    assert all(cell.workload == "mine" for cell in cells.values())


def test_the_example_decoder_decodes(monkeypatch):
    code, line = (block for block in blocks("python") if "mine" in block)
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


def test_every_file_and_target_it_names_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)`", README):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path
