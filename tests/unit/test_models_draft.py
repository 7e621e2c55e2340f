"""The draft model: its published format, its cache, its loss, and transformers' own as an oracle."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from pardec.common.errors import UserError
from pardec.models.architectures.attention import Layout
from pardec.models.architectures.draft import DraftModel
from pardec.models.checkpoints.draft_twin import transformers_draft
from pardec.models.checkpoints.formats.dflash import DFlash, default_taps
from pardec.models.load import load_model, save_model
from pardec.models.training.batches import Batch
from pardec.models.training.objectives.draft import Draft, DraftSettings, _block_mask
from pardec.models.training.tapped import Tapped
from tests.reference.block_drafting import native_generate
from tests.reference.drafts import Cycles, backbone, draft_model, plain, speculate

TARGET = backbone(causal=True, layers=5, max_positions=128, scale=3.0).double().requires_grad_(False)
TAPS = (0, 1, 3)

PUBLISHED = {
    "architectures": ["DFlashDraftModel"],
    "model_type": "qwen3",
    "block_size": 16,
    "dflash_config": {"mask_token_id": 90, "target_layer_ids": [1, 3, 5, 7, 9]},
    "num_target_layers": 12,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "rope_theta": 1000000,
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": True,
    "vocab_size": 91,
    "attention_bias": False,
    "hidden_act": "silu",
    "layer_types": ["full_attention"] * 2,
}
"""As the published drafts write it; sizes apart."""


def published_names(layers: int, norms: bool) -> set[str]:
    inner = ["input_layernorm", "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    inner += [f"self_attn.{part}_proj" for part in "qkvo"]
    inner += ["self_attn.q_norm", "self_attn.k_norm"] if norms else []
    names = {f"layers.{layer}.{name}.weight" for layer in range(layers) for name in inner}
    return names | {"fc.weight", "hidden_norm.weight", "norm.weight"}


def written(folder, **changes) -> DraftModel:
    config = DFlash.read({**PUBLISHED, **changes}, "config.json")
    model = DraftModel(config)
    model.initialise(torch.Generator().manual_seed(3))
    save_model(model, folder)
    return model


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_a_draft_has_the_published_names(tmp_path, kind):
    written(tmp_path, model_type=kind)
    weights = load_file(tmp_path / "model.safetensors")
    assert weights.keys() == published_names(2, kind == "qwen3")
    assert weights["fc.weight"].shape == (32, 5 * 32)
    assert weights["layers.1.self_attn.k_proj.weight"].shape == (2 * 16, 32)
    output = json.loads((tmp_path / "config.json").read_text())
    kept = ("architectures", "model_type", "block_size", "dflash_config", "num_target_layers", "head_dim")
    assert {key: output[key] for key in kept} == {**{key: PUBLISHED[key] for key in kept}, "model_type": kind}


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_a_draft_comes_back_as_it_was(tmp_path, kind):
    model = written(tmp_path, model_type=kind)
    again = load_model(tmp_path)
    assert isinstance(again, DraftModel) and again.config == model.config
    generator = torch.Generator().manual_seed(0)
    block = torch.randn(2, 16, 32, generator=generator)
    features = torch.randn(2, 7, 160, generator=generator)
    with torch.no_grad():
        assert torch.equal(again(block, again.fuse(features)), model(block, model.fuse(features)))


def test_a_config_as_published_is_read():
    config = DFlash.read(PUBLISHED, "config.json")
    assert (config.block, config.mask_id, config.taps, config.qk_norm) == (16, 90, (1, 3, 5, 7, 9), True)
    nested = {**PUBLISHED, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}
    assert DFlash.read(nested, "config.json").rope_theta == 5e5
    llama = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    llama |= {"original_max_position_embeddings": 16}
    stretched = DFlash.read({**PUBLISHED, "rope_scaling": llama}, "config.json")
    assert stretched.rope_theta == 1e6 and stretched.rope_stretch.factor == 8
    assert DFlash.read(DFlash.write(stretched), "config.json") == stretched
    plain_, model = DraftModel(config), DraftModel(stretched)
    assert not torch.equal(plain_.cos[20], model.cos[20]) and torch.equal(plain_.cos[0], model.cos[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dflash_config": {}}, "mask_token_id"),
        ({"num_target_layers": None, "model_type": "gpt2"}, "gpt2"),
        ({"attention_bias": True}, "attention_bias"),
        ({"layer_types": ["sliding_attention"] * 2}, "sliding"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "yarn"),
        ({"hidden_act": "gelu"}, "gelu"),
    ],
)
def test_a_draft_of_another_kind_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        DFlash.read({**PUBLISHED, **changes}, "config.json")


def test_a_missing_weight_is_named(tmp_path):
    written(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["layers.1.self_attn.k_norm.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"layers\.1\.self_attn\.k_norm\.weight"):
        load_model(tmp_path)


def test_a_draft_may_be_a_shape_and_a_seed(tmp_path):
    """For studies of time alone, which need no weights."""
    (tmp_path / "config.json").write_text(json.dumps({**PUBLISHED, "weights": "random", "seed": 4}))
    first, again = load_model(tmp_path), load_model(tmp_path)
    assert isinstance(first, DraftModel) and torch.equal(first.fc, again.fc) and float(first.fc.std()) > 0


def test_layers_that_are_tapped():
    assert default_taps(36, 5) == (1, 9, 17, 25, 33)
    assert default_taps(32, 5) == (1, 8, 15, 22, 29)
    assert default_taps(3, 5) == (0, 1, 2)


def test_taps_are_what_stands_after_each_layer():
    tokens = torch.tensor([[1, 5, 9, 11]])
    logits, features = TARGET(tokens, taps=TAPS)
    assert torch.equal(logits, TARGET(tokens))
    result = []
    hooks = [
        TARGET.layers[index].register_forward_hook(lambda _, __, out: result.append(out)) for index in TAPS
    ]
    TARGET(tokens)
    for hook in hooks:
        hook.remove()
    assert torch.equal(features, torch.cat(result, -1))


# The cache.


def block_of(model, tokens):
    given = torch.tensor([[*tokens, *[model.config.mask_id] * (model.config.block - len(tokens))]])
    return torch.nn.functional.embedding(given, TARGET.embedding)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_cached_context_is_the_whole_context(layers):
    """Appended in pieces, blocks dropped in between, it gives what one pass over all of it gives."""
    draft = draft_model(TARGET, taps=TAPS, layers=layers).double()
    text = torch.tensor([[1, 5, 9, 11, 6, 7, 8, 4, 12]])
    _, features = TARGET(text, taps=TAPS)
    cache = draft.new_cache(1, 64)
    for start, stop in ((0, 4), (4, 5), (5, 8)):
        context = draft.fuse(features[:, start:stop])
        result = draft(block_of(draft, [int(text[0, stop])]), context, cache)
        whole = draft(block_of(draft, [int(text[0, stop])]), draft.fuse(features[:, :stop]))
        assert cache.length == stop
        assert torch.allclose(result, whole, atol=1e-12)
    again = draft(block_of(draft, [12]), None, cache)
    assert torch.allclose(again, result, atol=1e-12), "a second pass over the block changes nothing"


def test_a_block_looks_both_ways_and_at_its_context():
    draft = draft_model(TARGET, taps=TAPS).double()
    _, features = TARGET(torch.tensor([[1, 5, 9]]), taps=TAPS)
    plain_ = draft(block_of(draft, [7]), draft.fuse(features))
    later = draft(block_of(draft, [7, 3, 3, 9]), draft.fuse(features))
    assert not torch.allclose(plain_[:, 1], later[:, 1]), "an early slot sees a later one"
    moved = features.clone()
    moved[:, 0] += 1
    assert not torch.allclose(plain_, draft(block_of(draft, [7]), draft.fuse(moved)))


# Training.


def test_a_block_sees_what_stands_before_its_anchor_and_itself():
    anchors = torch.tensor([[2, 4]])
    sight = _block_mask(anchors, torch.tensor([1]), 5, 3)[0, 0].int().tolist()
    first, second = [0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1]
    assert sight == [first] * 3 + [second] * 3


def test_packed_blocks_are_the_blocks_one_by_one():
    """What training sees of a block is what decoding will see of it."""
    draft = draft_model(TARGET, taps=TAPS, layers=2, block=4).double()
    text = torch.tensor([[1, 5, 9, 11, 6, 7, 8, 4, 12]])
    _, features = TARGET(text, taps=TAPS)
    anchors = torch.tensor([[2, 5, 3]])
    blocks = torch.cat([block_of(draft, [int(text[0, at])]) for at in anchors[0]], 1)
    columns = (anchors[..., None] + torch.arange(4)).flatten(1)
    positions = torch.cat([torch.arange(9)[None], columns], 1)
    layout = Layout(positions, _block_mask(anchors, torch.tensor([0]), 9, 4), positions.shape[1])
    packed = draft(blocks, draft.fuse(features), layout=layout).view(3, 4, -1)
    for row, at in enumerate(anchors[0].tolist()):
        alone = draft(block_of(draft, [int(text[0, at])]), draft.fuse(features[:, :at]))
        assert torch.allclose(packed[row], alone[0], atol=1e-12)


def family(**settings) -> tuple[Draft, DraftModel]:
    made = Draft(DraftSettings(block=4, anchors=2, taps=TAPS, **settings))
    made.target, made.tapped = TARGET, Tapped(TARGET, TAPS)
    return made, draft_model(TARGET, taps=TAPS, block=4).double().requires_grad_(True)


def test_the_loss_looks_at_no_token_that_decoding_would_not_know():
    """Tokens behind a block, and padding, change nothing; the tokens of the block itself do."""
    made, model = family()
    tokens = torch.tensor([[0, 0, 1, 5, 9, 7, 2, 2], [1, 5, 9, 11, 6, 7, 8, 2]])
    batch = Batch(tokens, torch.tensor([2, 0]), 4, torch.tensor([3, 4]))

    def loss(batch):
        return made.loss(model, batch, torch.Generator().manual_seed(1)).item()

    padded = Batch(torch.cat([tokens, tokens[:, :1] * 0 + 9], 1), batch.pad, 4, batch.lengths)
    assert loss(padded) == loss(batch)
    other = tokens.clone()
    other[0, :2] = 8
    assert loss(Batch(other, batch.pad, 4, batch.lengths)) == pytest.approx(loss(batch), abs=1e-12)
    other[1, 6] = 13
    assert loss(Batch(other, batch.pad, 4, batch.lengths)) != pytest.approx(loss(batch), abs=1e-6)


def test_early_positions_weigh_more():
    assert DraftSettings(block=8).decay() == 4 and DraftSettings(block=16).decay() == 7
    assert DraftSettings(block=6).decay() == 3 and DraftSettings(gamma=2.5).decay() == 2.5


def test_only_the_draft_learns():
    made, model = family()
    batch = Batch(torch.tensor([[1, 5, 9, 11, 6, 7, 8, 2]]), None, 2, torch.tensor([6]))
    made.loss(model, batch, torch.Generator().manual_seed(1)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in TARGET.parameters())


@pytest.mark.parametrize("layers", [1, 2])
def test_transformers_draft_gives_the_same_hidden_states(layers):
    draft = draft_model(TARGET, taps=TAPS, layers=layers).double()
    _, features = TARGET(torch.tensor([[1, 5, 9, 11, 6]]), taps=TAPS)
    block = block_of(draft, [7])
    with torch.no_grad():
        theirs = transformers_draft(draft)(
            noise_embeds=block, context_hidden_states=features
        ).last_hidden_state
        mine = draft(block, draft.fuse(features))
    assert torch.allclose(mine, theirs, atol=1e-5)


def test_a_draft_without_norms_has_no_twin():
    with pytest.raises(UserError, match="norms no queries"):
        transformers_draft(draft_model(TARGET, taps=TAPS, qk_norm=False))


@pytest.mark.parametrize("seed", [1, 16, 24])
def test_transformers_own_loop_takes_the_same_cycles(seed):
    """Tokens and tau of every cycle; its list begins with the prompt's pass, ours does not."""
    target = backbone(causal=True, seed=seed, layers=5, max_positions=128, scale=3.0).double()
    target.requires_grad_(False)
    draft = draft_model(target, seed=seed, taps=TAPS, block=6).double()
    prompt = [1, 5, 9, 11, 6]
    tokens, cycles = native_generate(target, draft, prompt, 40)
    log = Cycles()
    result = speculate(target, [prompt], 40, draft, log, block=6)
    assert result.tokens[0].tolist() == tokens == plain(target, [prompt], 40).tokens[0].tolist()
    assert cycles[1:] == log.taus
    assert max(log.taus) > 1
