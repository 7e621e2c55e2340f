"""The target's side of the loop: its cache, the pass over a tree, and the columns that are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.decoding.speculative import layouts
from pardec.decoding.speculative.tree import Shape, Tree, chain_shape

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.decoding.base import PromptBatch
    from pardec.models.architectures.attention import Layout
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")


class Verifier:
    """Runs the target; `check` raises if anything else ran it during the generation."""

    def __init__(
        self,
        model: LanguageModel,
        prompts: PromptBatch,
        size: int,
        taps: tuple[int, ...] | None,
        ban: Callable[[Tensor], Tensor],
        widths: Sequence[int] = (),
    ):
        """Build the cache, and warm up a target of static shapes.

        size: columns of the cache. taps: layers whose hidden states are kept. ban: sets banned logits to -inf.
        widths: maximum tokens per verification, by block size; a target of static shapes runs at these widths
        only."""
        self.model, self.prompts, self.taps, self.ban = model, prompts, taps, ban
        self.pad = prompts.pad if bool(prompts.pad.any()) else None
        self.single = prompts.size == 1 and self.pad is None
        self.widths = sorted({1, *widths}) if model.static_shapes else []
        # Padding extends at most one whole width past the last column of a tree's part.
        self.cache = model.new_cache(prompts.size, size + max(self.widths, default=0))
        self.lengths = [prompts.length] * prompts.size
        """Columns of each row before its anchor."""
        self.starts = prompts.pad.new_full((prompts.size, 1), prompts.length)
        """The same on the device, [B, 1] long; the loop uploads it again after each `keep`."""
        self.passes = self.positions = self.seen = 0
        shapes = (prompts.size, self.cache.size, self.single, *self.widths)
        if self.widths and shapes not in model.warmed:
            self._warm()
            model.warmed.add(shapes)
        self._hook = model.register_forward_pre_hook(self._count)

    def close(self) -> None:
        """Remove the hook from the target. The caller must call this also after an error."""
        self._hook.remove()

    def check(self) -> None:
        """Raise RuntimeError if something other than the loop ran the target."""
        if self.seen != self.passes:
            raise RuntimeError(
                f"the target ran {self.seen} times for {self.passes} verifications: a strategy peeked at it"
            )

    def _count(self, *_: Any) -> None:
        self.seen += 1

    def prefill(self) -> tuple[Tensor, Tensor | None]:
        """Return logits [B, 1, V] of the first token after each prompt, and features [B, P, F] of the prompts."""
        tokens = self.prompts.tokens
        return self._run(tokens, pad=self.pad, cache=self.cache, keep=slice(-1, None))

    def verify(self, anchor: Tensor, tree: Tree) -> tuple[Tensor, Tensor | None]:
        """Return logits [B, 1 + n, V] and features [B, 1 + n, F] of the anchors and trees.

        Raises:
            UserError: a target with learned positions is given anything but a single chain.
        """
        tokens = torch.cat([anchor, tree.tokens], 1)
        if tree.parts:
            results = [
                self._pass(tokens[:, first:stop], tree, first, stop, packed=False)
                for first, stop in tree.parts
            ]
            logits, features = zip(*results, strict=True)
            return torch.cat(logits, 1), None if features[0] is None else torch.cat(features, 1)
        return self._pass(tokens, tree, 0, tokens.shape[1], packed=True)

    def _pass(
        self, tokens: Tensor, tree: Tree, first: int, stop: int, packed: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.single and tree.shape.chain and packed and not self.widths:
            return self._run(tokens, cache=self.cache)
        if getattr(self.model.config, "positions", None) is not None:
            raise UserError(
                "decoder speculative",
                "this target has learned positions, which read plain sequences only",
                "use proposal chain at batch 1, or a target with rotary positions alone",
            )
        layout = self._layout(tree.shape, first, stop, packed)
        self.cache.length = max(self.lengths) + first
        count = tokens.shape[1]
        width = next((width for width in self.widths if width >= count), count)
        if width > count:
            tokens = torch.cat([tokens, tokens[:, -1:].expand(-1, width - count)], 1)
            layout = layouts.widened(layout, width - count, self.model.info.max_positions)
        logits, features = self._run(tokens, cache=self.cache, layout=layout)
        return logits[:, :count], None if features is None else features[:, :count]

    def _layout(self, shape: Shape, first: int, stop: int, packed: bool) -> Layout:
        longest, limit = max(self.lengths), self.model.info.max_positions
        if not self.single:
            return layouts.tree_of_many(shape, self.starts, longest, self.pad, limit, first, stop)
        if packed:
            return layouts.tree_of_one(shape, longest, limit)
        return layouts.part_of_one(shape, longest, limit, first, stop)

    def _warm(self) -> None:
        """Run each width once, so that a target of static shapes compiles none in the middle of a later
        generation."""
        for width in self.widths:
            tokens = self.prompts.tokens.new_full((self.prompts.size, width), self.model.info.pad_id)
            layout = self._layout(chain_shape(width - 1, str(tokens.device)), 0, width, packed=True)
            self.cache.length = self.prompts.length
            self.model(
                tokens, cache=self.cache, layout=layout, canvas_start=self.prompts.length, taps=self.taps
            )
        self.cache.length = 0

    def _run(self, tokens: Tensor, **arguments: Any) -> tuple[Tensor, Tensor | None]:
        output = self.model(tokens, canvas_start=self.prompts.length, taps=self.taps, **arguments)
        self.passes += 1
        self.positions += tokens.shape[1]
        logits, features = output if self.taps is not None else (output, None)
        return self.ban(logits), features

    def keep(
        self, features: Tensor | None, path: Tensor | None, paths: list[list[int]], grown: list[int]
    ) -> Tensor | None:
        """Keep the columns of the accepted paths and drop the others. Returns their features [B, m, F], the
        anchor's first, m the length of the longest path.

        path: [B, D] long on the device, or None for a chain. paths: the same on the host, cut to the accepted
        nodes. grown: columns that each row gains, 0 where it is finished.
        """
        most = max(grown)
        if not most:
            return None
        if path is not None and any(nodes != list(range(1, len(nodes) + 1)) for nodes in paths):
            index = path[:, : most - 1]
            if self.single:
                self.cache.move(self.lengths[0] + 1, index + self.lengths[0])
            else:
                # Entries past the end of a row's path are not nodes of its tree; they are moved and never read.
                bound = self.cache.size - 1 - max(self.lengths)
                self.cache.move(self.starts + 1, self.starts + index.clamp(max=bound))
            if features is not None:
                index = torch.cat([torch.zeros_like(index[:, :1]), index], 1).clamp(max=features.shape[1] - 1)
                features = features.gather(1, index[..., None].expand(-1, -1, features.shape[-1]))
        self.lengths = [length + gain for length, gain in zip(self.lengths, grown, strict=True)]
        if self.single:
            self.cache.length = self.lengths[0]
        return None if features is None else features[:, :most]
