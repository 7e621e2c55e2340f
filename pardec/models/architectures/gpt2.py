"""GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each part, biases, and a tied head.

Its checkpoints hold the matrices of a layer as [in, out]; they are turned once, when they are loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json, write_json
from pardec.data.ends import read_ends
from pardec.models.architectures.backbone import attention_mask
from pardec.models.architectures.base import Cache, LanguageModel, Layout, ModelInfo, kept
from pardec.models.checkpoints.formats.base import first, further, refuse

ROOT = "transformer."
PLAIN = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new",),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True, False),
}
SPARE = (".attn.bias", ".attn.masked_bias")
"""Causal masks, which old checkpoints hold among the weights."""
LAYER = {
    "norm1": "ln_1",
    "qkv": "attn.c_attn",
    "out": "attn.c_proj",
    "norm2": "ln_2",
    "up": "mlp.c_fc",
    "down": "mlp.c_proj",
}
MATRICES = ("qkv", "out", "up", "down")


@dataclass(frozen=True)
class GPT2Config:
    """Sizes of a GPT-2, from config.json."""

    vocab_size: int
    hidden: int
    layers: int
    heads: int
    mlp: int
    max_positions: int
    tied: bool = True
    norm_eps: float = 1e-5
    bos_id: int | None = None
    eos_id: int | None = None
    stop_ids: tuple[int, ...] = ()
    pad_id: int = 0

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str) -> GPT2Config:
        """Read config.json.

        Raises:
            UserError: a key is missing or asks for what this class does not do; names the key.
        """
        refuse(values, where, PLAIN)
        try:
            hidden, eos = values["n_embd"], values.get("eos_token_id")
            return cls(
                vocab_size=values["vocab_size"],
                hidden=hidden,
                layers=values["n_layer"],
                heads=values["n_head"],
                mlp=values.get("n_inner") or 4 * hidden,
                max_positions=values["n_positions"],
                tied=values.get("tie_word_embeddings", True),
                norm_eps=values.get("layer_norm_epsilon", 1e-5),
                bos_id=values.get("bos_token_id"),
                eos_id=first(eos),
                stop_ids=further(eos),
                pad_id=first(values.get("pad_token_id")) or 0,
            )
        except KeyError as error:
            raise UserError(
                where, f"has no key {error.args[0]!r}", "fetch the config.json of this checkpoint again"
            ) from None

    def to_json(self) -> dict[str, Any]:
        """The content of config.json, in the names of `transformers.GPT2Config`."""
        return {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "vocab_size": self.vocab_size,
            "n_embd": self.hidden,
            "n_layer": self.layers,
            "n_head": self.heads,
            "n_inner": self.mlp,
            "n_positions": self.max_positions,
            "tie_word_embeddings": self.tied,
            "layer_norm_epsilon": self.norm_eps,
            "activation_function": "gelu_new",
            "bos_token_id": self.bos_id,
            "eos_token_id": [self.eos_id, *self.stop_ids] if self.stop_ids else self.eos_id,
            "pad_token_id": self.pad_id,
        }


class GPT2Layer(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        hidden, self.heads = config.hidden, config.heads
        self.norm1, self.norm2 = (nn.LayerNorm(hidden, config.norm_eps) for _ in range(2))
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, config.mlp), nn.Linear(config.mlp, hidden)

    def forward(self, x: Tensor, mask: Tensor | None, is_causal: bool, store: Tensor | None, place) -> Tensor:
        """x: [B, T, hidden]. store: [2, B, heads, S, head_dim]. place: (past, filled, slots) of the cache."""
        batch, length, hidden = x.shape
        parts = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, hidden // self.heads)
        query, key, value = parts.transpose(1, 3).unbind(2)
        if store is not None:
            past, filled, slots = place
            if slots is None:
                store[0, :, :, past : past + length], store[1, :, :, past : past + length] = key, value
            else:
                store[0][slots], store[1][slots] = key.transpose(1, 2), value.transpose(1, 2)
            key, value = store[:, :, :, :filled].unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, mask, is_causal=is_causal)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, hidden))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT2(LanguageModel):
    """GPT-2 as a `LanguageModel`; causal, its positions count from the first real token."""

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, config.hidden))
        self.positions = nn.Parameter(torch.empty(config.max_positions, config.hidden))
        self.layers = nn.ModuleList([GPT2Layer(config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(config.hidden, config.norm_eps)
        self.head = None if config.tied else nn.Parameter(torch.empty(config.vocab_size, config.hidden))
        self.info = _info(self)

    @classmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> GPT2:
        """The model in `folder`, or one drawn at random where the folder says so.

        Raises:
            UserError: the folder holds no whole model; names the file and what is wrong.
        """
        from pardec.models.checkpoints.drawn import draw_model, is_drawn
        from pardec.models.checkpoints.files import read_tensors

        config = read_config(folder)
        if is_drawn(folder):
            return draw_model(cls, folder, config, device, dtype)
        with torch.device("meta"):
            model = cls(config)
        wanted = shapes(model)
        root = _root(folder)
        spare = (*SPARE, "lm_head.weight") if config.tied else SPARE
        theirs = {_with_root(name, root): shape for name, (_, shape) in wanted.items()}
        found = read_tensors(folder, theirs, device, spare)
        state = {}
        for name, (ours, _) in wanted.items():
            tensor = found.pop(_with_root(name, root)).to(dtype)
            state[ours] = tensor.T.contiguous() if _turned(ours) else tensor
        model.load_state_dict(state, assign=True)
        return model

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors in the Hugging Face format, both whole or not at all."""
        from safetensors.torch import save_file

        from pardec.models.checkpoints.files import WEIGHTS

        state, tensors = self.state_dict(), {}
        for name, (ours, _) in shapes(self).items():
            tensor = state[ours].detach()
            tensors[name] = (tensor.T if _turned(ours) else tensor).contiguous()
        with atomic(Path(folder) / WEIGHTS) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt"})
        write_json(Path(folder) / "config.json", self.config.to_json())

    def place_tables(self, device: str | torch.device, dtype: torch.dtype) -> None:
        """GPT-2 has none that are no weights."""

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the matrices with N(0, 0.02²), those that write to the stream scaled by 1/√(2 · layers); biases
        are 0."""
        damping = 1 / math.sqrt(2 * self.config.layers)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    residual = name.endswith(("out.weight", "down.weight"))
                    parameter.normal_(0.0, 0.02 * (damping if residual else 1.0), generator=generator)
                elif name.endswith("bias"):
                    parameter.zero_()

    def forward(
        self,
        tokens: Tensor,
        pad: Tensor | None = None,
        cache: Cache | None = None,
        keep: slice | Tensor | None = None,
        canvas_start: int | None = None,
        places: Tensor | None = None,
        layout: Layout | None = None,
        taps: tuple[int, ...] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        if places is not None:
            raise ValueError("GPT-2 reads its tokens one after another; places are for models that skip some")
        length = tokens.shape[1]
        past = 0 if cache is None else cache.length
        filled = past + length if layout is None else layout.filled
        # A tree has more columns than positions; those of a layout are in it.
        if layout is None and filled > self.config.max_positions:
            raise ValueError(f"{filled} positions asked of a model with {self.config.max_positions}")
        if cache is not None and filled > cache.size:
            raise ValueError(f"{filled} positions asked of a cache of {cache.size}")
        slots = None
        if layout is not None:
            positions, mask, slots, is_causal = layout.positions, layout.mask, layout.slots(), False
        else:
            positions = torch.arange(past, past + length, device=tokens.device)
            if pad is not None:
                positions = (positions - pad[:, None]).clamp(min=0)
            mask = attention_mask(True, pad, past, length, tokens.device)
            is_causal = mask is None and length > 1
        x = F.embedding(tokens, self.embedding) + F.embedding(positions, self.positions)
        tapped, place = [], (past, filled, slots)
        for index, layer in enumerate(self.layers):
            x = layer(x, mask, is_causal, None if cache is None else cache.store[index], place)
            if taps is not None and index in taps:
                tapped.append(x)
        if cache is not None:
            cache.length = filled
        logits = self.read(self.norm(kept(x, keep)))
        return logits if taps is None else (logits, torch.cat(tapped, -1))

    def read(self, x: Tensor) -> Tensor:
        """Logits [..., V] of normed hidden states [..., hidden]: the output head alone."""
        return F.linear(x, self.embedding if self.head is None else self.head)


def read_config(folder: str | Path) -> GPT2Config:
    """The shape of the GPT-2 in `folder`.

    Raises:
        UserError: a config.json that is missing, damaged, or of another kind of model.
    """
    from dataclasses import replace

    path = Path(folder) / "config.json"
    config = GPT2Config.from_json(read_json(path), str(path))
    return replace(config, stop_ids=tuple(sorted(read_ends(folder) - {config.eos_id})))


def shapes(model: GPT2) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Every weight of a checkpoint under its published name: our name, and its shape there."""
    outer = {"embedding": f"{ROOT}wte.weight", "positions": f"{ROOT}wpe.weight", "head": "lm_head.weight"}
    outer |= {f"norm.{kind}": f"{ROOT}ln_f.{kind}" for kind in ("weight", "bias")}
    found = {}
    for ours, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        if ours in outer:
            found[outer[ours]] = (ours, shape)
            continue
        _, layer, part, kind = ours.split(".")
        name = f"{ROOT}h.{layer}.{LAYER[part]}.{kind}"
        found[name] = (ours, shape[::-1] if _turned(ours) else shape)
    return found


def _turned(ours: str) -> bool:
    return ours.endswith(".weight") and ours.split(".")[-2] in MATRICES


def _root(folder: str | Path) -> str:
    """What stands before the names: nothing in the first published checkpoints, `transformer.` in later ones."""
    from safetensors import safe_open

    from pardec.models.checkpoints.files import weight_files

    try:
        with safe_open(weight_files(Path(folder))[0], framework="pt") as handle:
            names = set(handle.keys())
    except Exception:  # a damaged file: reading it whole says so properly
        return ROOT
    return "" if "wte.weight" in names or any(name.startswith("h.") for name in names) else ROOT


def _with_root(name: str, root: str) -> str:
    return root + name.removeprefix(ROOT) if name.startswith(ROOT) else name


def _info(model: GPT2) -> ModelInfo:
    config = model.config
    lookups = {id(model.positions)} | ({id(model.embedding)} if model.head is not None else set())
    matrices = [p for p in model.parameters() if p.dim() == 2 and id(p) not in lookups]
    return ModelInfo(
        attention="causal",
        vocab_size=config.vocab_size,
        layers=config.layers,
        hidden=config.hidden,
        heads=config.heads,
        kv_heads=config.heads,
        head_dim=config.hidden // config.heads,
        mlp=config.mlp,
        max_positions=config.max_positions,
        bos_id=config.bos_id,
        eos_id=config.eos_id,
        pad_id=config.pad_id,
        mask_id=None,
        parameters=sum(p.numel() for p in model.parameters()),
        matmul_parameters=sum(p.numel() for p in matrices),
        shift=False,
        stop_ids=config.stop_ids,
    )
