"""The one loop: propose, refine, pack, verify in one target pass, accept, commit, learn.

After Leviathan et al. 2023 (arXiv:2211.17192), Chen et al. 2023 (arXiv:2302.01318), SpecInfer
(arXiv:2305.09781) for trees, and DFlash (arXiv:2602.06036) for block drafts. The loop waits for the device
once per cycle, when it reads the accepted tokens; it then uploads the new row lengths at once, while nothing
is queued. Strategies whose tree size depends on the draft wait once more per cycle; their docstrings say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pardec.common.lazy import lazy
from pardec.decoding.base import Decoded, Observer, PromptBatch
from pardec.decoding.batching import count_useful, filler
from pardec.decoding.noise import uniform
from pardec.decoding.speculative import base
from pardec.decoding.speculative.sampling import Sampling
from pardec.decoding.speculative.tree import Tree, chain_shape
from pardec.decoding.speculative.verifier import Verifier

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")

STREAMS = 16
"""Random streams per cycle, the first ones for the drafter's passes; stream 0 of a row belongs to plain
decoding."""


@dataclass
class Strategies:
    """One strategy per kind, made for one generation; None where a kind is left out."""

    drafter: base.Drafter
    schedule: base.Schedule
    proposal: base.Proposal
    rule: base.Rule
    refinement: base.Refinement | None = None
    seeding: base.Seeding | None = None
    truncation: base.Truncation | None = None

    def all(self) -> tuple[base.Strategy, ...]:
        """Return the strategies that are in use."""
        return tuple(strategy for strategy in vars(self).values() if strategy is not None)


class Loop:
    """One generation."""

    def __init__(
        self,
        strategies: Strategies,
        sampling: Sampling,
        stop_at_eos: bool,
        model: LanguageModel,
        companion: nn.Module | None,
        prompts: PromptBatch,
        new_tokens: int,
        observer: Observer,
    ):
        self.strategies, self.sampling, self.prompts = strategies, sampling, prompts
        self.new_tokens, self.observer = new_tokens, observer
        self.ends, self.fill = model.info.ends, filler(model.info)
        self.stoppers = self.ends if stop_at_eos else ()
        # The target adds one token itself, so at most one fewer than are left are worth verifying.
        widths = [1 + strategies.proposal.nodes(block - 1) for block in strategies.schedule.sizes]
        block = max(strategies.schedule.sizes)
        size = prompts.length + new_tokens + max(block, *widths)
        taps = strategies.drafter.taps(companion)
        self.verifier = Verifier(model, prompts, size, taps, sampling.ban, widths)
        reader: Any = model  # a model with an embedding and a head
        target = base.Target(
            reader.embedding, lambda hidden: sampling.ban(reader.read(hidden)), sampling.ban, model.info
        )
        strategies.drafter.begin(target, companion, prompts.size, size + block)
        pads, tokens = prompts.pad.tolist(), prompts.tokens.tolist()
        self.rows = [row[pad:] for row, pad in zip(tokens, pads, strict=True)]
        self.prompt_sizes = [len(row) for row in self.rows]
        self.done = [False] * prompts.size
        self.cycle = 0

    def run(self) -> Decoded:
        """Decode, and return the output of all rows."""
        try:
            fresh = self._prefill()
            while not all(self.done):
                fresh = self._cycle(fresh)
            self.verifier.check()
        finally:
            self.verifier.close()
        return self._output()

    def _prefill(self) -> Tensor | None:
        logits, features = self.verifier.prefill()
        self.anchor = self.sampling.pick(logits, torch.zeros_like(self.prompts.pad)[:, None])
        self.observer.prefill()
        self.observer.phase("prefill")
        self.counts = [self.prompts.length] * self.prompts.size
        self.agreed = [0] * self.prompts.size
        for row, token in enumerate(self.anchor[:, 0].tolist()):
            self._write(row, [token])
        self._upload([1] * len(self.rows))
        self.observer.step(1, self._final())
        return features

    def _cycle(self, fresh: Tensor | None) -> Tensor | None:
        strategies, observer = self.strategies, self.observer
        began = observer.seconds()
        active = [row for row, done in enumerate(self.done) if not done]
        left = max(self.new_tokens - self._written(row) for row in active)
        block = strategies.schedule.block()
        count = min(block, left) - 1
        verifier = self.verifier
        view = base.View(
            self.rows, self.anchor, verifier.lengths, verifier.starts, verifier.pad, fresh, self.counts,
            self.agreed,
        )  # fmt: skip
        self.drafts = 0
        requested = block - 1 if strategies.drafter.whole and count else count
        draft, context = self._draft(view, requested, count)
        if len(draft):
            tree = strategies.proposal.pack(draft, context)
        else:
            tree = Tree(chain_shape(0, str(self.anchor.device)), draft.tokens)
        observer.phase("pack")
        logits, features = verifier.verify(self.anchor, tree)
        observer.phase("verify")
        accepting = base.AcceptContext(
            self.sampling.distribution, self._noise, self.position, self.sampling.pick
        )
        accepted = strategies.rule.decide(tree, logits, accepting)
        counts, grown, committed, fresh = self._commit(accepted, draft, features, active)
        observer.phase("accept")
        ended = observer.seconds()
        seconds = None if began is None or ended is None else ended - began
        outcome = base.Outcome(draft, 1 + len(draft), counts, active, seconds)
        strategies.schedule.learn(outcome)
        if strategies.seeding is not None:
            strategies.seeding.learn(outcome)
        self._report(draft, tree, counts, committed, active)
        self.counts = grown
        self.cycle += 1
        return fresh

    def _draft(self, view: base.View, count: int, most: int) -> tuple[base.Draft, base.DraftContext]:
        """Return a draft of at most `most` tokens, out of `count` that the drafter proposes, and its context."""
        strategies = self.strategies
        context = base.DraftContext(
            strategies.drafter, view, count, self._choose, self._noise, self.sampling.distribution
        )
        if count < 1:
            return base.Draft(self.anchor[:, :0]), context
        seeding = strategies.seeding
        hints = None if seeding is None else seeding.hints(count)
        draft = self._with_distributions(strategies.drafter.propose(view, count, self._choose, hints))
        if seeding is not None and hints is not None and seeding.keeps:
            draft = draft.with_hints(hints)
        self.observer.phase("draft")
        if strategies.refinement is not None and len(draft):
            draft = self._with_distributions(strategies.refinement.refine(draft, context))
            self.observer.phase("refine")
        draft = draft.cut(most)
        if strategies.truncation is not None:
            draft = draft.cut(strategies.truncation.keep(draft, self.ends))
        return draft, context

    def _with_distributions(self, draft: base.Draft) -> base.Draft:
        if self.strategies.rule.draws and draft.logits is not None and draft.distributions is None:
            draft.distributions = self.sampling.distribution(draft.logits)
        return draft

    def _choose(self, logits: Tensor, slot: int) -> Tensor:
        """Return a drafter's tokens: its most probable ones, or draws from its distribution where the rule needs
        them."""
        if not self.strategies.rule.draws:
            return logits.argmax(-1)
        # Each pass of the drafter begins at slot 0 and gets its own stream.
        self.drafts += slot == 0
        return self.sampling.draw(logits, self._noise(self.drafts, logits.shape[1:2], slot))

    def _noise(self, use: int, shape: tuple[int, ...], offset: int = 0) -> Tensor:
        return uniform(self.prompts.seeds, 1 + self.cycle * STREAMS + use, tuple(shape), offset)

    def _commit(
        self, accepted: base.Accepted, draft: base.Draft, features: Tensor | None, active: list[int]
    ) -> tuple[list[int], list[int], list[int], Tensor | None]:
        """Read the accepted tokens, the one wait per cycle, and commit them.

        Returns per row the number of accepted drafted tokens, of new columns and of committed tokens; and the
        features of the new columns.
        """
        parts = [accepted.counts[:, None], accepted.tokens]
        if accepted.path is not None:
            parts += [accepted.path, draft.tokens]
        table = torch.cat(parts, 1).tolist()
        width = accepted.tokens.shape[1]
        counts, grown = [0] * len(table), [0] * len(table)
        committed = [0] * len(table)
        paths: list[list[int]] = [[] for _ in table]
        for row in active:
            count = table[row][0]
            tokens = table[row][1 : count + 2]
            counts[row], committed[row] = count, self._write(row, tokens)
            # A row that has ended needs no more columns, even if more tokens were accepted than it could take.
            grown[row] = 0 if self.done[row] else count + 1
            self.agreed[row] = count
            if accepted.path is not None:
                paths[row] = table[row][1 + width : 1 + width + count]
                drafted = table[row][1 + width + accepted.path.shape[1] :]
                pairs = zip(tokens[:count], drafted, strict=False)
                self.agreed[row] = next(
                    (k for k, (one, other) in enumerate(pairs) if one != other), min(count, len(drafted))
                )
        fresh = self.verifier.keep(features, accepted.path, paths, grown)
        if len(self.rows) == 1:
            self.anchor = accepted.tokens[:, counts[0] : counts[0] + 1]
            self._upload(grown)
        else:
            moved = self._upload(grown)
            last = accepted.tokens.gather(1, accepted.counts[:, None])
            self.anchor = torch.where(moved, last, self.anchor)
        return counts, grown, committed, fresh

    def _upload(self, grown: list[int]) -> Tensor | None:
        """Copy to the device each row's columns before its anchor and its output position behind the anchor.
        Returns the rows that have grown, [B, 1] bool; None for a single row."""
        verifier = self.verifier
        positions = [min(self._written(row), self.new_tokens - 1) for row in range(len(self.rows))]
        if len(self.rows) == 1:
            # A fill copies nothing from the host.
            verifier.starts = self.anchor.new_full((1, 1), verifier.lengths[0])
            self.position = self.anchor.new_full((1,), positions[0])
            return None
        table = torch.tensor([verifier.lengths, positions, grown], device=self.anchor.device)
        verifier.starts, self.position = table[0, :, None], table[1]
        return table[2, :, None] > 0

    def _write(self, row: int, tokens: list[int]) -> int:
        """Commit tokens to a row, up to its end token; return their number."""
        tokens = tokens[: self.new_tokens - self._written(row)]
        end = next((index for index, token in enumerate(tokens) if token in self.stoppers), None)
        if end is not None:
            tokens = tokens[: end + 1]
            self.done[row] = True
        self.rows[row] += tokens
        if self._written(row) >= self.new_tokens:
            self.done[row] = True
        return len(tokens)

    def _written(self, row: int) -> int:
        return len(self.rows[row]) - self.prompt_sizes[row]

    def _final(self) -> int:
        """Return the number of output positions that are final in every row; an ended row counts as complete."""
        return min(self.new_tokens if self.done[row] else self._written(row) for row in range(len(self.rows)))

    def _report(
        self, draft: base.Draft, tree: Tree, counts: list[int], committed: list[int], active: list[int]
    ) -> None:
        observer = self.observer
        observer.step(committed[0] if len(self.rows) == 1 else torch.tensor(committed), self._final())
        facts: dict[str, Any] = {}
        for strategy in self.strategies.all():
            facts |= strategy.facts()
        rows = len(active)
        observer.cycle(
            tau=sum(committed) / rows,
            block=1 + len(draft),
            accepted=sum(counts) / rows,
            drafted=tree.shape.deepest,
            verified=1 + tree.size,
            rows=rows,
            passes=len(tree.parts) or 1,
            **facts,
        )

    def _output(self) -> Decoded:
        rows = [row[size:] for row, size in zip(self.rows, self.prompt_sizes, strict=True)]
        rows = [row + [self.fill] * (self.new_tokens - len(row)) for row in rows]
        output = torch.tensor(rows, device=self.anchor.device)
        verifier = self.verifier
        return Decoded(output, count_useful(output, self.ends), verifier.passes, verifier.positions)
