"""Large canvases: places of a subset, row and column positions from both ends, and what the objectives learn there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from pydantic import ValidationError
from test_models_backbone import CAUSAL, close, make, padded, tokens

from pardec.models.architectures.backbone import Backbone
from pardec.models.architectures.config import GridConfig, PositionConfig
from pardec.models.architectures.positions import waves
from pardec.models.load import load_model, save_model
from pardec.models.sources.train import TrainSettings
from pardec.models.training.batches import Batch
from pardec.models.training.objectives.autoregressive import Autoregressive, AutoregressiveSettings, guess
from pardec.models.training.objectives.masked_diffusion import MaskedDiffusion, MaskedDiffusionSettings
from pardec.models.training.subsets import choose_places

GRID = GridConfig(rows=6, columns=8, ends=3, cell=1, width_at=2, height_at=1)
AR = replace(CAUSAL, rotary=False, positions=PositionConfig(6, 1, GRID))
MASKED = replace(AR, causal=False, mask_id=3)
START = 4


def waved(config):
    """The same shape, its tables of rows and columns beginning as sinusoids."""
    grid = replace(config.positions.grid, waves=True)
    return replace(config, positions=replace(config.positions, grid=grid))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sequences(rows: int = 2, canvas: int = 12) -> torch.Tensor:
    """Prompts of START tokens that say 3 rows of 4 and 5 rows of 2, and a canvas."""
    result = tokens(rows, START + canvas)
    result[:, 1] = 4 + torch.tensor([3, 5])[:rows]
    result[:, 2] = 4 + torch.tensor([4, 2])[:rows]
    return result


def batch(canvas: int = 12) -> Batch:
    return Batch(sequences(2, canvas), None, START, torch.tensor([canvas, canvas]))


@effort(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    count=st.integers(1, 90),
    width=st.integers(1, 64),
    seed=st.integers(0, 99),
)
def test_places_are_distinct_ascending_and_within_the_span_first(lengths, count, width, seed):
    lengths = torch.tensor(lengths).clamp(max=width)
    places = choose_places(lengths, count, width, generator(seed))
    spans = (lengths + lengths // 8 + 1).clamp(max=width)
    assert places.shape == (len(lengths), min(count, width, int(spans.max())))
    assert (places.diff(dim=1) > 0).all() and places.min() >= 0 and places.max() < width
    for row, span in zip(places, spans.tolist(), strict=True):
        assert int((row < span).sum()) == min(span, places.shape[1])


def test_every_place_of_a_span_is_drawn_alike():
    seen = torch.zeros(20)
    draw = generator(4)
    for _ in range(2000):
        seen[choose_places(torch.tensor([16]), 5, 20, draw)[0]] += 1
    assert (seen[19:] == 0).all()
    assert (seen[:19] / 2000 - 5 / 19).abs().max() < 0.05


@pytest.mark.parametrize("pieces", [[1] * 12, [12], [5, 3, 4]])
def test_cached_passes_know_the_table_from_the_prompt(pieces):
    """A causal model with row and column positions: passes that do not see the prompt place tokens alike."""
    model, x = make(AR), sequences()
    cache = model.new_cache(2, 16)
    parts = [model(x[:, :START], cache=cache, canvas_start=START)]
    parts += [model(part, cache=cache, canvas_start=START) for part in x[:, START:].split(pieces, 1)]
    close(torch.cat(parts, 1), model(x, canvas_start=START))


def test_padding_changes_nothing():
    model, x = make(AR), sequences(1)
    moved, pad = padded([x[0], torch.cat([x[0, :1], x[0]])[: x.shape[1] + 1]])
    together = model(moved, pad=pad, canvas_start=START + 1)
    close(together[0, 1:], model(x, canvas_start=START)[0])


def test_places_put_tokens_where_they_say():
    model, x = make(MASKED), sequences()
    every = torch.arange(12).expand(2, -1)
    close(model(x, canvas_start=START, places=every), model(x, canvas_start=START))
    order = torch.randperm(12, generator=generator())
    mixed = torch.cat([x[:, :START], x[:, START:][:, order]], 1)
    shuffled = model(mixed, canvas_start=START, places=order.expand(2, -1))
    close(shuffled[:, START:], model(x, canvas_start=START)[:, START:][:, order])


def test_positions_count_from_both_ends():
    model = make(MASKED)
    vectors = model.positions._grid(
        torch.tensor([[4], [2]]), torch.tensor([[3], [5]]), torch.arange(12)[None]
    )
    tables = [getattr(model.positions, name) for name in ("rows", "columns", "right", "below")]
    for row, (width, height) in enumerate([(4, 3), (2, 5)]):
        for rank in range(12):
            i, j = divmod(rank, width)
            at = min(i, 5), j, min(width - 1 - j, 2), min(max(height - i, 0), 2)
            close(vectors[row, rank], sum(table[k] for table, k in zip(tables, at, strict=True)))


@pytest.mark.parametrize("step", [1, 3])
def test_positions_kept_with_a_cache_are_those_of_a_whole_pass(step):
    model, x = make(AR), sequences()
    whole = model(x, canvas_start=START)
    cache = model.new_cache(2, x.shape[1])
    with torch.inference_mode():
        for first in (0, 1):  # the second time another prompt, in the same memory
            prompt = x.flip(0) if first else x
            cache.crop(0)
            parts = [model(prompt[:, :START], cache=cache, canvas_start=START)]
            parts += [
                model(prompt[:, at : at + step], cache=cache, canvas_start=START)
                for at in range(START, x.shape[1], step)
            ]
            close(torch.cat(parts, 1), whole.flip(0) if first else whole)
            # A crop forgets tokens, and no place.
            cache.crop(START + 2)
            again = model(prompt[:, START + 2 : START + 4], cache=cache, canvas_start=START)
            close(again, (whole.flip(0) if first else whole)[:, START + 2 : START + 4])


def test_waves_make_neighbours_alike():
    table = waves(64, 32)
    likeness = torch.nn.functional.cosine_similarity(table[:-1], table[1:])
    far = torch.nn.functional.cosine_similarity(table[:32], table[32:])
    assert table.shape == (64, 32) and likeness.min() > far.max()
    model = Backbone(waved(MASKED))
    model.initialise(generator())
    close(model.positions.rows, waves(6, 32))


def test_positions_survive_the_checkpoint(tmp_path):
    model, x = make(waved(AR)), sequences()
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert again.config == model.config
    close(again(x, canvas_start=START), model(x, canvas_start=START))


def test_autoregressive_subset_of_all_is_the_whole_loss():
    model, rows = make(AR), batch()
    subset = Autoregressive(AutoregressiveSettings(subset=100)).loss(model, rows, generator())
    logits = model(rows.tokens[:, :-1], canvas_start=START, keep=slice(START - 1, None))
    whole = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows.tokens[:, START:].flatten())
    close(subset, whole)


def test_autoregressive_subset_learns_nothing_behind_the_end():
    model, rows = make(AR), batch()
    rows.lengths = torch.tensor([5, 9])
    rows.tokens[0, START + 5 :] = 39
    family = Autoregressive(AutoregressiveSettings(subset=12))
    first = family.loss(model, rows, generator(1))
    rows.tokens[0, START + 5 :] = 38
    # The tokens behind the end are shown at most to places that nothing is learned from.
    close(first, family.loss(model, rows, generator(1)))


def test_diffusion_subset_of_all_is_the_whole_loss():
    model, rows = make(MASKED), batch()
    every = MaskedDiffusion(MaskedDiffusionSettings(whole=1.0)).loss(model, rows, generator())
    subset = MaskedDiffusion(MaskedDiffusionSettings(whole=1.0, subset=40)).loss(model, rows, generator())
    close(every, subset)


def test_a_small_subset_is_cheap_and_trains():
    model = make(MASKED).requires_grad_(True)
    seen = []
    handle = model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(args[0].shape), with_kwargs=True
    )
    loss = MaskedDiffusion(MaskedDiffusionSettings(subset=5)).loss(model, batch(), generator())
    handle.remove()
    loss.backward()
    assert seen == [(2, START + 5)] and model.positions.right.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", [Autoregressive, MaskedDiffusion])
def test_only_what_is_shown_counts_as_seen(kind):
    seen = [kind(kind.Settings(subset=size)).shown(batch()) for size in (None, 5, 99)]
    assert seen == [2 * (START + 12), 2 * (START + 5), 2 * (START + 12)]


def test_guesses_replace_a_share_of_rows():
    shown = torch.full((4000, 6), 7)
    assert torch.equal(guess(shown, 40, 0.0, generator()), shown)
    result = guess(shown, 40, 0.5, generator())
    kept = (result == 7).all(1)
    same = (result == result[:, :1]).all(1) & ~kept
    assert abs(kept.float().mean() - 0.5) < 0.05 and abs(same.float().mean() - 0.25) < 0.05
    assert result.min() >= 0 and result.max() < 40


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"objective": {"family": "autoregressive", "subset": 4}}, "learned positions"),
        ({"objective": {"family": "autoregressive", "guesses": 0.5}}, "needs subset"),
        ({"objective": {"family": "masked_diffusion", "subset": 4, "shift": True}}, "shifted"),
        (
            {
                "objective": {"family": "masked_diffusion", "subset": 4},
                "positions": {"prompt": 4, "canvas": 1},
            },
            "rotary",
        ),
    ],
)
def test_what_cannot_work_is_refused(changes, match):
    with pytest.raises(ValidationError, match=match):
        TrainSettings.model_validate({"source": "train", "data": "x", **changes})
