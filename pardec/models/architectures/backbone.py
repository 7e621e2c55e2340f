"""One Llama-style transformer for every family: causal or bidirectional, with or without learned positions.

RMSNorm, rotary positions, SwiGLU, grouped key-value heads (Touvron et al. 2023, arXiv:2302.13971; Ainslie
et al. 2023, arXiv:2305.13245). The weights of queries, keys and values are held as one matrix, and so are
the gate and the up projection: a one-token step of a small model is bound by the count of operations, not
by their size.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.models.architectures.base import Cache, LanguageModel, Layout, ModelInfo, kept
from pardec.models.architectures.config import BackboneConfig
from pardec.models.architectures.norm import rms_norm
from pardec.models.architectures.positions import new_table, rows_of, waves
from pardec.models.checkpoints.formats.rotary import Stretch

FEW = 64
"""Tokens behind a cache whose mask is kept."""


def rope_tables(
    positions: int, head_dim: int, theta: float, device=None, stretch: Stretch | None = None
) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines [positions, head_dim], for rotating x by `x * cos + roll(x, head_dim // 2) *
    sin`."""
    half = head_dim // 2
    rates = 1.0 / theta ** (torch.arange(half, dtype=torch.float32, device=device) * 2 / head_dim)
    if stretch is not None:
        rates = stretch.apply(rates)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32, device=device), rates)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def attention_mask(
    causal: bool, pad: Tensor | None, past: int, length: int, device: torch.device
) -> Tensor | None:
    """Which keys each query may see, [B or 1, 1, length, past + length] bool, or None where plain flags
    suffice.

    A pad token sees itself, whatever the rest says: a row of the mask without any key would give NaN.
    """
    if pad is None and (not causal or past == 0 or length == 1):
        return None
    if pad is None and length <= FEW and device.type == "cpu":
        # As in each verification, where making the mask takes time that counts.
        width = 1 << (past + length).bit_length()
        return _stair(length, width)[..., width - past - length :]
    keys = torch.arange(past + length, device=device)
    queries = keys[past:, None]
    allowed = None
    if causal and length > 1:
        allowed = (keys <= queries)[None]
    if pad is not None:
        real = keys >= pad[:, None, None]
        allowed = real if allowed is None else allowed & real
        if length > 1:
            allowed = allowed | (keys == queries)
    return allowed[:, None]


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _stair(length: int, width: int) -> Tensor:
    """The mask [1, 1, length, width] of the last `length` of `width` tokens; its last columns are that of fewer."""
    return torch.ones(1, 1, length, width, dtype=torch.bool).tril(width - length)


def project(x: Tensor, weight: Tensor | nn.Module, bias: Tensor | None = None) -> Tensor:
    """x [..., in] times a matrix [out, in], plain or quantised (`pardec.models.engines.quantise`)."""
    return weight(x, bias) if isinstance(weight, nn.Module) else F.linear(x, weight, bias)


class Layer(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the stream."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.eps, self.mlp = config.norm_eps, config.mlp
        self.input_norm = nn.Parameter(torch.ones(config.hidden))
        self.post_norm = nn.Parameter(torch.ones(config.hidden))
        width = config.head_dim * config.heads
        fused = width + 2 * config.head_dim * config.kv_heads
        self.qkv = nn.Parameter(torch.empty(fused, config.hidden))
        self.qkv_bias = nn.Parameter(torch.zeros(fused)) if config.qkv_bias else None
        self.query_norm = nn.Parameter(torch.ones(config.head_dim)) if config.qk_norm else None
        self.key_norm = nn.Parameter(torch.ones(config.head_dim)) if config.qk_norm else None
        self.out = nn.Parameter(torch.empty(config.hidden, width))
        self.gate_up = nn.Parameter(torch.empty(2 * config.mlp, config.hidden))
        self.down = nn.Parameter(torch.empty(config.hidden, config.mlp))

    def forward(
        self,
        x: Tensor,
        cos: Tensor | None,
        sin: Tensor | None,
        mask: Tensor | None,
        is_causal: bool,
        kv_store: Tensor | None,
        past: int,
        filled: int,
        slots: tuple | None = None,
    ) -> Tensor:
        """x: [B, T, hidden]. cos, sin: [B or 1, T, 1, head_dim] or None. kv_store: [2, B, kv_heads, S,
        head_dim], written at past..filled-1, or at `slots` where each row has columns of its own."""
        batch, length, _ = x.shape
        normed = rms_norm(x, self.input_norm, self.eps)
        qkv = project(normed, self.qkv, self.qkv_bias).view(batch, length, -1, self.head_dim)
        turned = qkv[:, :, : self.heads + self.kv_heads]
        if self.query_norm is not None:
            turned = self._norm_heads(turned)
        if cos is not None:
            turned = torch.addcmul(turned * cos, turned.roll(self.head_dim // 2, -1), sin)
        query, key = turned.transpose(1, 2).split([self.heads, self.kv_heads], 1)
        value = qkv[:, :, self.heads + self.kv_heads :].transpose(1, 2)
        if kv_store is not None:
            if slots is None:
                kv_store[0, :, :, past : past + length] = key
                kv_store[1, :, :, past : past + length] = value
            else:
                kv_store[0][slots] = key.transpose(1, 2)
                kv_store[1][slots] = value.transpose(1, 2)
            key, value = kv_store[:, :, :, :filled].unbind(0)
        mixed = F.scaled_dot_product_attention(
            query, key, value, mask, is_causal=is_causal, enable_gqa=self.heads != self.kv_heads
        )
        x = x + project(mixed.transpose(1, 2).reshape(batch, length, -1), self.out)
        gate, up = project(rms_norm(x, self.post_norm, self.eps), self.gate_up).chunk(2, -1)
        return x + project(F.silu(gate) * up, self.down)

    def _norm_heads(self, x: Tensor) -> Tensor:
        """Queries and keys [B, T, heads + kv_heads, head_dim], each head's vector normed."""
        query, key = x.split([self.heads, self.kv_heads], 2)
        query = rms_norm(query, self.query_norm, self.eps)
        return torch.cat([query, rms_norm(key, self.key_norm, self.eps)], 2)


class Backbone(LanguageModel):
    """The transformer as a `LanguageModel`."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, config.hidden))
        self.prompt_positions = new_table(config.prompt_positions, config.hidden)
        self.canvas_positions = new_table(config.canvas_positions, config.hidden)
        self.grid_rows = new_table(config.grid_rows, config.hidden)
        self.grid_columns = new_table(config.grid_columns, config.hidden)
        self.grid_right = new_table(config.grid_right, config.hidden)
        self.grid_below = new_table(config.grid_below, config.hidden)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.layers)])
        self.norm = nn.Parameter(torch.ones(config.hidden))
        self.head = None if config.tied else nn.Parameter(torch.empty(config.vocab_size, config.hidden))
        self.info = _info(self)
        self.place_tables("cpu", torch.float32)

    @classmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> Backbone:
        """The model in `folder`, or one drawn at random where the folder says so.

        Raises:
            UserError: the folder holds no whole model; names the file and what is wrong.
        """
        from pardec.models.checkpoints import files as checkpoint
        from pardec.models.checkpoints import names
        from pardec.models.checkpoints.drawn import draw_model, is_drawn

        config = checkpoint.read_config(folder)
        if is_drawn(folder):
            return draw_model(cls, folder, config, device, dtype)
        state = checkpoint.read_weights(folder, config, device)
        for name in state:
            state[name] = state[name].to(dtype)
        with torch.device("meta"):
            model = cls(config)
        model.load_state_dict(names.fuse(state, config), assign=True)
        model.place_tables(device, dtype)
        return model

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors, both whole or not at all."""
        from pardec.models.checkpoints import files as checkpoint

        checkpoint.save(self, folder)

    def place_tables(self, device: str | torch.device, dtype: torch.dtype) -> None:
        """Compute the rotary tables, which are no weights, on `device`; in float32 first, whatever `dtype`
        is."""
        config = self.config
        cos, sin = rope_tables(
            config.max_positions, config.head_dim, config.rope_theta, device, config.rope_stretch
        )
        self.register_buffer("cos", cos[:, None].to(dtype), persistent=False)
        self.register_buffer("sin", sin[:, None].to(dtype), persistent=False)

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the matrices with N(0, 0.02²), those that write to the stream scaled by 1/√(2 · layers)."""
        damping = 1 / math.sqrt(2 * self.config.layers)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    residual = name.endswith((".out", ".down"))
                    parameter.normal_(0.0, 0.02 * (damping if residual else 1.0), generator=generator)
            if self.config.grid_waves:
                for table in (self.grid_rows, self.grid_columns):
                    table.copy_(waves(*table.shape))

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
        length = tokens.shape[1]
        past = 0 if cache is None else cache.length
        filled = past + length if layout is None else layout.filled
        if layout is None and filled > self.config.max_positions:
            raise ValueError(f"{filled} positions asked of a model with {self.config.max_positions}")
        if cache is not None and filled > cache.size:
            raise ValueError(f"{filled} positions asked of a cache of {cache.size}")
        x = F.embedding(tokens, self.embedding)
        slots = None
        if layout is not None:
            positions, slots = layout.positions, layout.slots()
            cos, sin = self.cos[positions], self.sin[positions]
        elif pad is None:
            positions = None
            cos, sin = self.cos[past:filled], self.sin[past:filled]
        else:
            columns = torch.arange(past, filled, device=tokens.device)
            positions = (columns - pad[:, None]).clamp(min=0)
            cos, sin = self.cos[positions], self.sin[positions]
        if not self.config.rotary:
            cos = sin = None
        if self.prompt_positions is not None:
            if layout is not None:
                raise ValueError("a model with learned positions reads plain sequences only")
            x = x + self._learned(tokens, positions, past, canvas_start, places, cache)
        causal = self.config.causal
        if layout is None:
            mask = attention_mask(causal, pad, past, length, tokens.device)
            is_causal = causal and mask is None and length > 1
        else:
            mask, is_causal = layout.mask, False
        store = None if cache is None else cache.store
        x, tapped = self.run_layers(x, cos, sin, mask, is_causal, store, past, filled, slots, taps)
        if cache is not None:
            cache.length = filled
        x = kept(x, keep)
        logits = self.read(rms_norm(x, self.norm, self.config.norm_eps))
        return logits if taps is None else (logits, torch.cat(tapped, -1))

    def run_layers(
        self,
        x: Tensor,
        cos: Tensor | None,
        sin: Tensor | None,
        mask: Tensor | None,
        is_causal: bool,
        store: Tensor | None,
        past: int,
        filled: int,
        slots: tuple | None,
        taps: tuple[int, ...] | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """The stream [B, T, hidden] after all layers, and after each of `taps`; see `Layer.forward`. An engine of its
        own replaces this part. store: [layers, 2, B, kv_heads, S, head_dim]."""
        tapped = []
        for index, layer in enumerate(self.layers):
            own = None if store is None else store[index]
            x = layer(x, cos, sin, mask, is_causal, own, past, filled, slots)
            if taps is not None and index in taps:
                tapped.append(x)
        return x, tapped

    def read(self, x: Tensor) -> Tensor:
        """Logits [..., V] of normed hidden states [..., hidden]: the output head alone."""
        return F.linear(x, self.embedding if self.head is None else self.head)

    def _learned(
        self,
        tokens: Tensor,
        positions: Tensor | None,
        past: int,
        canvas_start: int | None,
        places: Tensor | None,
        cache: Cache | None,
    ) -> Tensor:
        """Learned position vectors, [B or 1, T, hidden]: by the prompt's table, then by the canvas's."""
        follows = cache is not None and canvas_start is not None and past >= max(canvas_start, 1)
        if follows and places is None and self.grid_rows is not None:
            return self._kept_grid(cache, canvas_start)[:, past - canvas_start :][:, : tokens.shape[1]]
        columns = torch.arange(past, past + tokens.shape[1], device=tokens.device)
        if positions is None:
            positions = columns[None]
        vectors = rows_of(self.prompt_positions, positions)
        if canvas_start is None or self.canvas_positions is None:
            return vectors
        within = (columns >= canvas_start)[:, None]
        ranks = (columns - canvas_start)[None]
        if places is not None:
            ranks = torch.cat([ranks[:, :canvas_start].expand(len(places), -1), places], 1)
        canvas = rows_of(self.canvas_positions, ranks)
        if self.grid_rows is not None:
            canvas = canvas + self._grid(*self._size(tokens, positions, past, cache), ranks.clamp(min=0))
        return torch.where(within, canvas, vectors)

    def _size(
        self, tokens: Tensor, positions: Tensor, past: int, cache: Cache | None
    ) -> tuple[Tensor, Tensor]:
        """Canvas positions of a table row and the number of rows, [B, 1] long each, as the prompt says; a cache
        keeps them for later passes."""
        if past:
            return cache.table
        config = self.config

        def said(place: int) -> Tensor:
            at = (positions == place).int().argmax(-1, keepdim=True)
            return tokens.gather(1, at.expand(len(tokens), 1)) - config.grid_zero_id

        size = said(config.grid_width_at).clamp(min=1) * config.grid_cell, said(config.grid_height_at)
        if cache is not None:
            cache.table, cache.placed = size, None
        return size

    def _kept_grid(self, cache: Cache, canvas_start: int) -> Tensor:
        """Vectors [B, S, hidden] of all canvas positions that the cache has room for: the same in each pass of a
        generation, and half a dozen lookups a pass."""
        if cache.placed is None or cache.placed.shape[1] != cache.size - canvas_start:
            ranks = torch.arange(cache.size - canvas_start, device=cache.store.device)[None]
            cache.placed = rows_of(self.canvas_positions, ranks) + self._grid(*cache.table, ranks)
        return cache.placed

    def _grid(self, stride: Tensor, height: Tensor, ranks: Tensor) -> Tensor:
        """Vectors [B, T, hidden] of the table's canvas positions `ranks` [B or 1, T], which count from 0.

        stride, height: [B, 1]. Rows and columns are counted from the start, and where there are such tables
        also from the end: columns to a row's last, rows to the last (0 behind it).
        """
        row, column = ranks // stride, ranks % stride
        found = rows_of(self.grid_rows, row) + rows_of(self.grid_columns, column)
        if self.grid_right is None:
            return found
        return found + rows_of(self.grid_right, stride - 1 - column) + rows_of(self.grid_below, height - row)


def _info(model: Backbone) -> ModelInfo:
    config = model.config
    tables = (model.prompt_positions, model.canvas_positions, model.grid_rows, model.grid_columns)
    tables += (model.grid_right, model.grid_below)
    lookups = {id(table) for table in tables}
    if not config.tied:
        lookups.add(id(model.embedding))
    matrices = [p for p in model.parameters() if p.dim() == 2 and id(p) not in lookups]
    return ModelInfo(
        attention="causal" if config.causal else "bidirectional",
        vocab_size=config.vocab_size,
        layers=config.layers,
        hidden=config.hidden,
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        mlp=config.mlp,
        max_positions=config.max_positions,
        bos_id=config.bos_id,
        eos_id=config.eos_id,
        pad_id=config.pad_id,
        mask_id=config.mask_id,
        parameters=sum(p.numel() for p in model.parameters()),
        matmul_parameters=sum(p.numel() for p in matrices),
        shift=config.shift,
        stop_ids=config.stop_ids,
    )
