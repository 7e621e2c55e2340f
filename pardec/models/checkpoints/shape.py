"""The shape of the backbone that a recipe describes."""

from __future__ import annotations

from pardec.data.tokenizers import TextTokenizer
from pardec.models.architectures.config import BackboneConfig
from pardec.models.registry import FAMILIES
from pardec.models.sources.train import TrainSettings


def shape_of(settings: TrainSettings, tokenizer: TextTokenizer) -> BackboneConfig:
    """The backbone that `settings` describe, for the vocabulary of `tokenizer`."""
    size, family = settings.size, FAMILIES.load(settings.family)(settings.objective)
    learned = {}
    if settings.positions is not None:
        learned = {
            "prompt_positions": settings.positions.prompt,
            "canvas_positions": settings.positions.canvas,
        }
        learned["rotary"] = settings.positions.rotary
        if grid := settings.positions.grid:
            learned |= {"grid_rows": grid.rows, "grid_columns": grid.columns, "grid_cell": grid.cell_tokens}
            learned |= {"grid_right": grid.ends, "grid_below": grid.ends, "grid_waves": grid.waves}
            learned |= {"grid_height_at": grid.height_at}
            learned |= {"grid_width_at": grid.width_at, "grid_zero_id": tokenizer.encode("0")[0]}
    return BackboneConfig(
        vocab_size=tokenizer.vocab_size,
        hidden=size.hidden,
        layers=size.layers,
        heads=size.heads,
        kv_heads=size.kv_heads or size.heads,
        head_dim=size.hidden // size.heads,
        mlp=size.mlp,
        max_positions=size.max_positions,
        causal=family.causal,
        rope_theta=size.rope_theta,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
        pad_id=tokenizer.pad_id,
        mask_id=tokenizer.mask_id if family.masks else None,
        shift=family.shift,
        family=settings.family,
        **learned,
    )
