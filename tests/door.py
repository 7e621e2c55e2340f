"""Checkpoints as users bring them, fetched through the door that checks them."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file, save_file

from pardec.common.errors import UserError
from pardec.common.files import read_json, write_json
from pardec.models.load import load_model
from pardec.models.sources import path


def fetch(folder, tmp_path, **settings):
    path.fetch(path.PathSettings(source="path", path=str(folder), **settings), tmp_path / "out", 0)
    return load_model(tmp_path / "out")


def refusal(folder, tmp_path, **settings) -> UserError:
    with pytest.raises(UserError) as caught:
        fetch(folder, tmp_path, **settings)
    assert str(folder) in caught.value.where, "the message names the user's own file"
    assert "delete" not in caught.value.fix and "remove" not in caught.value.fix
    return caught.value


def change(folder, **keys):
    write_json(folder / "config.json", {**read_json(folder / "config.json"), **keys})


def reweigh(folder, edit):
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors")
