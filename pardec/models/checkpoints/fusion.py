"""Two sets of names for the weights of a model: the published ones, and ours, of which some are several fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, cat


@dataclass(frozen=True)
class Names:
    """Published names by ours.

    outer: of the weights outside the layers. inner: within a layer, the parts of each weight in the order of fusion.
    layers: the published prefix of all layers.
    """

    outer: Mapping[str, str]
    inner: Mapping[str, Sequence[str]]
    layers: str

    def split(self, state: Mapping[str, Tensor], rows: Mapping[str, int] | None = None) -> dict[str, Tensor]:
        """Return the weights `state` by their published names; the parts of a fused one are views of it.

        state: by our names, the parts of a fused matrix [rows, columns] one below the other. rows: the first dimension
        of each published weight; None: all parts of a weight are of one size.
        """
        weights: dict[str, Tensor] = {}
        for name, tensor in state.items():
            if name in self.outer:
                weights[self.outer[name]] = tensor
                continue
            _, layer, ours = name.split(".")
            parts = [f"{self.layers}.{layer}.{part}" for part in self.inner[ours]]
            sizes = len(tensor) // len(parts) if rows is None else [rows[part] for part in parts]
            weights |= dict(zip(parts, tensor.split(sizes), strict=True))
        return weights

    def fuse(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return our weights from the published ones; removes them from `state`, so that two copies never exist."""
        weights = {ours: state.pop(theirs) for ours, theirs in self.outer.items() if theirs in state}
        start = f"{self.layers}."
        layers = dict.fromkeys(
            name.removeprefix(start).split(".")[0] for name in state if name.startswith(start)
        )
        for layer in layers:
            for ours, parts in self.inner.items():
                names = [f"{start}{layer}.{part}" for part in parts]
                if names[0] in state:
                    tensors = [state.pop(name) for name in names]
                    weights[f"layers.{layer}.{ours}"] = tensors[0] if len(tensors) == 1 else cat(tensors)
        return weights
