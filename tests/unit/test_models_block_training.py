"""The objective of block diffusion: one pass over two copies is each block's own pass; the masks are those asked."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from pardec.models.architectures.blocks import block_causal
from pardec.models.training.batches import Batch
from pardec.models.training.objectives.block_diffusion import (
    BlockDiffusion,
    BlockDiffusionSettings,
    choose_block_masks,
)
from tests.reference.models import EOS, MASK, WORDS, backbone

SHIFTED = backbone(causal=True, shift=True, family="block_diffusion", mask_id=MASK)
PLAIN = backbone(causal=True, family="block_diffusion", mask_id=MASK)


def batch(seed, rows=3, prompt=5, answer=9, padded=True):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, WORDS, (rows, prompt + answer), generator=generator)
    pad = torch.tensor([0, 2, 4][:rows]) if padded else None
    return Batch(tokens, pad, prompt, torch.full((rows,), answer))


@effort(max_examples=40, deadline=None)
@given(
    block=st.integers(1, 9),
    shift=st.booleans(),
    padded=st.booleans(),
    complementary=st.booleans(),
    seed=st.integers(0, 99),
)
def test_one_pass_is_every_blocks_own_pass(block, shift, padded, complementary, seed):
    """The logits of each noisy block are those of a pass over the finished tokens and that block alone."""
    model = SHIFTED if shift else PLAIN
    settings = BlockDiffusionSettings(shift=shift, complementary=complementary)
    data, generator = batch(seed, padded=padded), torch.Generator().manual_seed(seed)
    answer = data.tokens[:, 5:]
    masked, _ = choose_block_masks(3, 9, block, generator, settings)
    made = BlockDiffusion(settings)._logits(model, data, 5, answer, block, masked)
    assert len(made) == 1 + complementary
    for copy, hidden in enumerate(masked):
        for start in range(0, 9, block):
            stop = min(start + block, 9)
            noisy = answer[:, start:stop].masked_fill(hidden[:, start:stop], MASK)
            tokens = torch.cat([data.tokens[:, : 5 + start], noisy], 1)
            layout = block_causal(5, stop, block, data.pad)
            kept = slice(5 + start - shift, 5 + stop - shift)
            alone = model(tokens, keep=kept, layout=layout)
            torch.testing.assert_close(made[copy][:, start:stop], alone, rtol=1e-4, atol=1e-4)


@effort(max_examples=40, deadline=None)
@given(size=st.integers(1, 20), block=st.integers(1, 20), seed=st.integers(0, 99), both=st.booleans())
def test_every_block_has_masks_and_complements_cover_the_rest(size, block, seed, both):
    block = min(block, size)
    generator = torch.Generator().manual_seed(seed)
    masked, weights = choose_block_masks(
        6, size, block, generator, BlockDiffusionSettings(complementary=both)
    )
    assert masked.shape == weights.shape == (1 + both, 6, size)
    for start in range(0, size, block):
        part = masked[0, :, start : start + block]
        count = part.sum(1)
        assert (count >= 1).all()
        assert torch.allclose(weights[0, :, start], part.shape[1] / count)
    if both:
        assert torch.equal(masked[0], ~masked[1])


def test_masks_of_a_block_are_uniform():
    """Each count of masks, and each position, is equally likely; `whole` masks whole blocks."""
    generator = torch.Generator().manual_seed(0)
    masked, _ = choose_block_masks(20_000, 8, 4, generator, BlockDiffusionSettings())
    counts = torch.bincount(masked[0, :, 4:].sum(1), minlength=5) / 20_000
    torch.testing.assert_close(counts, torch.tensor([0, 0.25, 0.25, 0.25, 0.25]), rtol=0, atol=0.015)
    torch.testing.assert_close(masked[0].float().mean(0), torch.full((8,), 0.625), rtol=0, atol=0.015)
    masked, weights = choose_block_masks(50, 8, 4, generator, BlockDiffusionSettings(whole=1))
    assert masked.all()
    assert (weights == 1).all()


def test_blocks_of_one_token_learn_the_autoregressive_loss():
    """All masked, one token a block, shifted: the cross entropy of causal attention."""
    data, generator = batch(1, padded=False), torch.Generator().manual_seed(0)
    loss = BlockDiffusion(BlockDiffusionSettings(blocks=(1,), shift=True)).loss(SHIFTED, data, generator)
    logits = SHIFTED(data.tokens)[:, 4:-1]
    plain = torch.nn.functional.cross_entropy(logits.flatten(0, 1), data.tokens[:, 5:].flatten())
    torch.testing.assert_close(loss, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [[4, 4, 2], [9, 1, 5]])
def test_blocks_behind_an_answers_end_are_not_learned(lengths):
    """Other tokens there change no loss; other tokens before the end do."""
    data = batch(2)
    data.lengths = torch.tensor(lengths)
    family = BlockDiffusion(BlockDiffusionSettings(blocks=(4,), shift=True))

    def loss():
        return family.loss(SHIFTED, data, torch.Generator().manual_seed(0)).item()

    before = loss()
    row, length = 2, lengths[2]
    learned = -(-length // 4) * 4
    data.tokens[row, 5 + learned :] = EOS
    assert loss() == pytest.approx(before, rel=1e-5)
    data.tokens[row, 5:] = EOS
    assert loss() != pytest.approx(before, rel=1e-3)


def test_a_text_without_a_prompt_is_learned():
    data = batch(3, prompt=0, answer=14, padded=False)
    data.start = 0
    family = BlockDiffusion(BlockDiffusionSettings(blocks=(2, 4, 64), shift=True, complementary=True))
    for seed in range(5):
        assert torch.isfinite(family.loss(SHIFTED, data, torch.Generator().manual_seed(seed)))
