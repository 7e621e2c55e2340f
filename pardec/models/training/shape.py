"""The shape of the backbone that a recipe describes."""

from __future__ import annotations

from pardec.data.tokenizers import TextTokenizer
from pardec.models.architectures.config import BackboneConfig, GridConfig, PositionConfig
from pardec.models.registry import FAMILIES
from pardec.models.sources.train import TrainSettings


def shape_of(settings: TrainSettings, tokenizer: TextTokenizer) -> BackboneConfig:
    """Return the backbone's configuration from `settings`, for the vocabulary of `tokenizer`."""
    size, family = settings.size, FAMILIES.load(settings.family)(settings.objective)
    learned, rotary = None, True
    if settings.positions is not None:
        rotary = settings.positions.rotary
        grid = settings.positions.grid
        learned = PositionConfig(
            settings.positions.prompt,
            settings.positions.canvas,
            None
            if grid is None
            else GridConfig(
                rows=grid.rows,
                columns=grid.columns,
                ends=grid.ends,
                waves=grid.waves,
                cell=grid.cell_tokens,
                width_at=grid.width_at,
                height_at=grid.height_at,
                zero_id=tokenizer.encode("0")[0],
            ),
        )
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
        positions=learned,
        rotary=rotary,
    )
