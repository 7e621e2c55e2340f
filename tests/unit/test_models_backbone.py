"""The backbone: caches, padding, attention, learned positions, and the same logits as transformers' Llama."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pardec.models.architectures.attention import FEW, attention_mask
from pardec.models.architectures.backbone import Backbone
from pardec.models.architectures.base import Placement
from pardec.models.architectures.config import BackboneConfig, GridConfig, PositionConfig
from pardec.models.checkpoints.configs import read_config
from pardec.models.checkpoints.shapes import SHAPES
from pardec.models.load import save_model

CAUSAL = BackboneConfig(
    vocab_size=40,
    hidden=32,
    layers=3,
    heads=4,
    kv_heads=2,
    head_dim=8,
    mlp=48,
    max_positions=64,
    causal=True,
)
GRID = GridConfig(rows=6, columns=8, width_at=2, zero_id=4)
MASKED = replace(CAUSAL, causal=False, mask_id=3, positions=PositionConfig(12, 16, GRID))


def make(config: BackboneConfig, seed: int = 0) -> Backbone:
    model = Backbone(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            # Larger than the training's start, so that attention is far from uniform and errors show.
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.3 if parameter.dim() == 2 else 1 + 0.1 * noise)
    return model.requires_grad_(False).eval()


def tokens(rows: int, columns: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(4, 40, (rows, columns), generator=torch.Generator().manual_seed(seed))


def padded(prompts: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(prompt) for prompt in prompts)
    pad = torch.tensor([width - len(prompt) for prompt in prompts])
    rows = [torch.cat([torch.zeros(width - len(p), dtype=torch.long), p]) for p in prompts]
    return torch.stack(rows), pad


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pieces", [[1] * 12, [12], [5, 1, 1, 5], [4, 8], [1, 11]])
def test_cache_equals_full_recomputation(pieces):
    model, x = make(CAUSAL), tokens(2, 12)
    cache = model.new_cache(2, 12)
    parts = [model(part, cache=cache) for part in x.split(pieces, 1)]
    close(torch.cat(parts, 1), model(x))
    assert cache.length == 12


def test_cache_with_padding_equals_rows_alone():
    model = make(CAUSAL)
    prompts = [tokens(1, length, length)[0] for length in (3, 9, 6)]
    following = tokens(3, 4, 9)
    x, pad = padded(prompts)
    cache = model.new_cache(3, 13)
    model(x, pad, cache)
    steps = torch.cat([model(following[:, i : i + 1], pad, cache) for i in range(4)], 1)
    for row, prompt in enumerate(prompts):
        alone = model(torch.cat([prompt, following[row]])[None], keep=slice(-4, None))
        close(steps[row : row + 1], alone)


def test_crop_forgets_the_tail():
    model, x = make(CAUSAL), tokens(1, 8)
    cache = model.new_cache(1, 12)
    model(tokens(1, 4, 7), cache=cache)
    model(tokens(1, 6, 8), cache=cache)
    cache.crop(4)
    got = model(x, cache=cache)
    close(got, model(torch.cat([tokens(1, 4, 7), x], 1), keep=slice(4, None)))
    with pytest.raises(ValueError, match="crop"):
        cache.crop(13)


@pytest.mark.parametrize("length", [2, 8, FEW, FEW + 1])
@pytest.mark.parametrize("past", [1, 7, 8, 120])
def test_tokens_behind_a_cache_see_all_before_them(past, length):
    mask = attention_mask(True, None, past, length, torch.device("cpu"))
    queries, keys = past + torch.arange(length)[:, None], torch.arange(past + length)
    assert torch.equal(mask, (keys <= queries)[None, None])


def test_without_any_positions_order_does_not_matter():
    """Bidirectional, no rotary and no learned positions: swapping two tokens swaps their logits."""
    bare = replace(CAUSAL, causal=False, rotary=False)
    model, x = make(bare), tokens(1, 8)
    order = torch.tensor([0, 5, 2, 3, 4, 1, 6, 7])
    close(model(x[:, order]), model(x)[:, order])
    turned = make(replace(bare, rotary=True))
    assert not torch.allclose(turned(x[:, order]), turned(x)[:, order], atol=1e-3)


@pytest.mark.parametrize("config", [CAUSAL, MASKED], ids=["causal", "masked"])
def test_left_padding_changes_no_logits(config):
    model = make(config)
    prompts = [tokens(1, length, length)[0] for length in (4, 9, 7)]
    canvas = torch.full((3, 10), 3)
    x, pad = padded(prompts)
    start = x.shape[1]
    got = model(torch.cat([x, canvas], 1), pad, keep=slice(start, None), canvas_start=start)
    assert got.isfinite().all()
    for row, prompt in enumerate(prompts):
        alone = torch.cat([prompt, canvas[row]])[None]
        close(got[row : row + 1], model(alone, keep=slice(len(prompt), None), canvas_start=len(prompt)))


def test_pad_tokens_themselves_do_not_matter():
    model, pad = make(CAUSAL), torch.tensor([3, 0])
    a, b = tokens(2, 9), tokens(2, 9)
    b[0, :3] = 17
    assert not torch.equal(a, b)
    close(model(a, pad)[:, 3:], model(b, pad)[:, 3:])


@pytest.mark.parametrize("at", [0, 4, 8])
def test_causal_models_see_no_later_token(at):
    model, x = make(CAUSAL), tokens(1, 9)
    changed = x.clone()
    changed[0, at] = 4 + (x[0, at] - 3) % 36
    moved = (model(x) - model(changed)).abs().amax(-1)[0] > 1e-6
    assert not moved[:at].any()
    assert moved[at:].all()


@pytest.mark.parametrize("at", [0, 4, 8])
def test_bidirectional_models_see_every_token(at):
    model, x = make(replace(MASKED, positions=PositionConfig(12, 16))), tokens(1, 9)
    changed = x.clone()
    changed[0, at] = 4 + (x[0, at] - 3) % 36
    moved = (model.denoise(x, None, 3, 9) - model.denoise(changed, None, 3, 9)).abs().amax(-1)[0]
    assert (moved > 1e-6).all()


def test_keep_gives_the_same_logits():
    model, x = make(CAUSAL), tokens(2, 9)
    close(model(x, keep=slice(2, 6)), model(x)[:, 2:6])
    close(model(x, keep=slice(-1, None)), model(x)[:, -1:])


def test_denoise_accounts_for_the_shift():
    plain, shifted = make(MASKED), make(replace(MASKED, shift=True))
    x = tokens(2, 12)
    whole = plain(x, canvas_start=4)
    close(plain.denoise(x, None, 6, 10, 4), whole[:, 6:10])
    close(shifted.denoise(x, None, 6, 10, 4), whole[:, 5:9])


def test_canvas_positions_count_from_its_first_column():
    model = make(MASKED)
    x = tokens(1, 12)
    block = model.denoise(x, None, 7, 9, canvas_start=4)
    close(block, model.denoise(x, None, 4, 12)[:, 3:5])
    assert not torch.allclose(block, model.denoise(x, None, 7, 9))


def test_grid_positions_follow_the_width_in_the_prompt():
    """With only row and column tables that differ, tokens of one row and column get one vector whatever the
    width."""
    model = make(MASKED)
    ranks = torch.arange(16)
    x = tokens(2, 20)
    x[:, 2] = torch.tensor([4 + 2, 4 + 3])
    size = model.positions._size(x, torch.arange(20)[None], 0, None)
    vectors = model.positions._grid(*size, ranks[None])
    rows, columns = model.positions.rows, model.positions.columns
    for row, stride in enumerate([4, 6]):
        for rank in ranks.tolist():
            close(vectors[row, rank], rows[min(rank // stride, 5)] + columns[rank % stride])


def test_positions_past_a_table_use_its_last_row():
    model = make(MASKED)
    vectors = model.positions(tokens(1, 40), Placement(None, 0, canvas_start=4))
    close(vectors[0, 4 + 15 - 2] * 0 + model.positions.canvas[15], model.positions.canvas[15])
    assert vectors.shape == (1, 40, 32)
    assert vectors.isfinite().all()


def test_too_many_positions_are_refused():
    model = make(CAUSAL)
    with pytest.raises(ValueError, match="65 positions"):
        model(tokens(1, 65))
    with pytest.raises(ValueError, match="cache of 4"):
        model(tokens(1, 5), cache=model.new_cache(1, 4))


def test_info_counts_parameters():
    model = make(MASKED)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    tables = sum(size for name, size in sizes.items() if "positions" in name or "grid" in name)
    norms = sum(size for name, size in sizes.items() if "norm" in name)
    assert model.info.parameters == sum(sizes.values())
    assert model.info.matmul_parameters == sum(sizes.values()) - tables - norms
    untied = make(replace(CAUSAL, tied=False)).info
    assert untied.matmul_parameters == make(CAUSAL).info.matmul_parameters
    assert untied.parameters == make(CAUSAL).info.parameters + 40 * 32


@pytest.mark.parametrize("tied", [True, False])
def test_same_logits_as_transformers(tmp_path, tied):
    transformers = pytest.importorskip("transformers")
    model = make(replace(CAUSAL, tied=tied, rope_theta=5000.0))
    save_model(model, tmp_path)
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    x = tokens(2, 20)
    with torch.inference_mode():
        close(model(x), theirs(x).logits)


@pytest.mark.parametrize("whole", [True, False])
def test_rotary_tables_are_float32_where_the_checkpoint_says_so(whole):
    """LLaDA rotates in float32 in any precision (`rope_full_precision`)."""
    values = {**SHAPES["llada-8b"], "rope_full_precision": whole}
    config = read_config(values, "config.json")
    assert config.rope_float32 == whole
    model = make(replace(CAUSAL, rope_float32=whole))
    model.place_tables("cpu", torch.bfloat16)
    assert model.cos.dtype == model.sin.dtype == (torch.float32 if whole else torch.bfloat16)
