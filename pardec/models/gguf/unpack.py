"""Write a GGUF file as a checkpoint folder in the Hugging Face format, which everything else reads.

Weights are dequantised once, here, to the numbers that llama.cpp means by them; a job then loads them as quickly as any
checkpoint, in the precision of its study.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import atomic, sha256, write_json, write_text
from pardec.models.checkpoints.checks import check_checkpoint
from pardec.models.gguf.config import config_of
from pardec.models.gguf.reader import GGUF
from pardec.models.gguf.tokenizer import tokenizer_of
from pardec.models.gguf.weights import weights_of
from pardec.models.sources.folder import ForeignSettings, adapt_config, clear

WRITTEN = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
TEMPLATE = "chat_template.jinja"


def unpack(path: Path, out: Path, settings: ForeignSettings, facts: dict[str, Any]) -> dict[str, Any]:
    """Write the checkpoint in the GGUF file `path` into `out`; return what its source.json says: `facts`, the
    SHA-256 of `path` and the formats of its weights, and of every file written its SHA-256 and bytes.

    Raises:
        UserError: a file that is damaged, or a model, tokenizer or quantisation that is not supported; or files that
            contradict each other.
    """
    from safetensors.numpy import save_file

    file = GGUF(path)
    config = config_of(file)
    tokenizer, tokenizer_config = tokenizer_of(file)
    out.mkdir(parents=True, exist_ok=True)
    (out / "source.json").unlink(missing_ok=True)
    clear(out)
    template = tokenizer_config.pop("chat_template", None)
    write_json(out / "config.json", config)
    write_json(out / "tokenizer_config.json", tokenizer_config)
    write_text(out / "tokenizer.json", tokenizer.to_str())
    names = [*WRITTEN]
    if template is not None:
        write_text(out / TEMPLATE, template)
        names.append(TEMPLATE)
    with atomic(out / "model.safetensors") as temporary:
        save_file(dict(weights_of(file, config)), temporary, metadata={"format": "pt"})
    changes = adapt_config(out / "config.json", settings, path)
    try:
        check_checkpoint(out)
    except UserError as error:
        raise UserError(
            f"{path}: {error.where}", error.what, "give another GGUF file of this model"
        ) from None
    stored = {"sha256": sha256(path), "bytes": path.stat().st_size, "weights": file.kinds()}
    files = {
        name: {"sha256": sha256(out / name), "bytes": (out / name).stat().st_size, "linked": False}
        for name in names
    }
    source = {**facts, "gguf": stored, "config_changes": changes, "files": files}
    write_json(out / "source.json", source)
    return source
