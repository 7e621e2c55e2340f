"""The one loop: propose, refine, pack, verify in one target pass, accept, commit, learn.

After Leviathan et al. 2023 (arXiv:2211.17192), Chen et al. 2023 (arXiv:2302.01318), SpecInfer
(arXiv:2305.09781) for trees, and DFlash (arXiv:2602.06036) for block drafts. The device is waited for once a
cycle, where the accepted tokens are read; strategies whose tree has a size that depends on the draft wait
once more, and say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pardec.common.lazy import lazy
from pardec.decoding.base import Decoded, Observer, PromptBatch
from pardec.decoding.batching import count_useful
from pardec.decoding.noise import uniform
from pardec.decoding.speculative import base
from pardec.decoding.speculative.laws import Sampling
from pardec.decoding.speculative.tree import Tree, chain_shape
from pardec.decoding.speculative.verifier import Verifier

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")

STREAMS = 16
"""Random streams of one cycle, of which the drafter's passes take the first; stream 0 of a row is plain
decoding's own."""


@dataclass
class Strategies:
    """One of each, made for this generation."""

    drafter: base.Drafter
    schedule: base.Schedule
    proposal: base.Proposal
    rule: base.Rule
    refinement: base.Refinement | None = None
    seeding: base.Seeding | None = None
    truncation: base.Truncation | None = None

    def all(self) -> tuple[base.Strategy, ...]:
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
        self.with_, self.sampling, self.prompts = strategies, sampling, prompts
        self.new_tokens, self.observer, self.eos = new_tokens, observer, model.info.eos_id
        self.ends = model.info.ends
        self.stoppers = self.ends if stop_at_eos else ()
        block = strategies.schedule.largest()
        size = prompts.length + new_tokens + max(block, 1 + strategies.proposal.nodes(max(block - 1, 0)))
        taps = strategies.drafter.taps(companion)
        self.verifier = Verifier(model, prompts, size, taps, sampling.ban)
        head = lambda hidden: sampling.ban(model.read(hidden))  # noqa: E731
        target = base.Target(model.embedding, head, sampling.ban, model.info)
        strategies.drafter.begin(target, companion, prompts.size, size + block)
        pads, tokens = prompts.pad.tolist(), prompts.tokens.tolist()
        self.rows = [row[pad:] for row, pad in zip(tokens, pads, strict=True)]
        self.prompt_sizes = [len(row) for row in self.rows]
        self.done = [False] * prompts.size
        self.cycle = 0

    def run(self) -> Decoded:
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
        places = torch.zeros_like(self.prompts.pad)[:, None]
        self.anchor = self.sampling.pick(logits, places)
        self.observer.prefill()
        self.observer.phase("prefill")
        self.counts = [self.prompts.length] * self.prompts.size
        self.agreed = [0] * self.prompts.size
        for row, token in enumerate(self.anchor[:, 0].tolist()):
            self._write(row, [token])
        self.observer.step(1)
        self.observer.block(self._final())
        return features

    def _cycle(self, fresh: Tensor | None) -> Tensor | None:
        with_, observer = self.with_, self.observer
        began = observer.seconds()
        active = [row for row, done in enumerate(self.done) if not done]
        left = max(self.new_tokens - self._written(row) for row in active)
        # The target adds a token of its own, so one fewer than are left is worth verifying.
        block = with_.schedule.block()
        count = min(block, left) - 1
        verifier = self.verifier
        view = base.View(
            self.rows, self.anchor, verifier.lengths, verifier.pad, fresh, self.counts, self.agreed
        )
        self.drawn = 0
        asked = block - 1 if with_.drafter.whole and count else count
        draft, bench = self._draft(view, asked, count)
        if len(draft):
            tree = with_.proposal.pack(draft, bench)
        else:
            tree = Tree(chain_shape(0, str(self.anchor.device)), draft.tokens)
        observer.phase("pack")
        logits, features = verifier.verify(self.anchor, tree)
        observer.phase("verify")
        verdict = with_.rule.decide(tree, logits, self._judge(view))
        accepted, grown, committed, fresh = self._commit(verdict, draft, features, active)
        observer.phase("accept")
        ended = observer.seconds()
        seconds = None if began is None else ended - began
        outcome = base.Outcome(draft, 1 + len(draft), accepted, active, seconds)
        with_.schedule.learn(outcome)
        if with_.seeding is not None:
            with_.seeding.learn(outcome)
        self._tell(draft, tree, accepted, committed, active)
        self.counts = grown
        self.cycle += 1
        return fresh

    def _draft(self, view: base.View, count: int, most: int) -> tuple[base.Draft, base.Bench]:
        """Ask for `count` tokens and keep `most` of them."""
        with_ = self.with_
        bench = base.Bench(with_.drafter, view, count, self._choose, self._noise, self.sampling.law)
        if count < 1:
            return base.Draft(self.anchor[:, :0]), bench
        hints = None if with_.seeding is None else with_.seeding.hints(count)
        draft = self._with_laws(with_.drafter.propose(view, count, self._choose, hints))
        if hints is not None and with_.seeding.keeps:
            draft = draft.holding(hints)
        self.observer.phase("draft")
        if with_.refinement is not None and len(draft):
            draft = self._with_laws(with_.refinement.refine(draft, bench))
            self.observer.phase("refine")
        draft = draft.cut(most)
        if with_.truncation is not None:
            draft = draft.cut(with_.truncation.keep(draft, self.ends))
        return draft, bench

    def _with_laws(self, draft: base.Draft) -> base.Draft:
        if self.with_.rule.draws and draft.logits is not None and draft.laws is None:
            draft.laws = self.sampling.law(draft.logits)
        return draft

    def _choose(self, logits: Tensor, slot: int) -> Tensor:
        """What a drafter writes: its most likely tokens, or tokens drawn from its law."""
        if not self.with_.rule.draws:
            return logits.argmax(-1)
        # A pass of the drafter begins at slot 0 and gets a stream of its own.
        self.drawn += slot == 0
        return self.sampling.draw(logits, self._noise(self.drawn, logits.shape[1:2], slot))

    def _noise(self, use: int, shape: tuple[int, ...], offset: int = 0) -> Tensor:
        return uniform(self.prompts.seeds, 1 + self.cycle * STREAMS + use, tuple(shape), offset)

    def _judge(self, view: base.View) -> base.Judge:
        place = torch.tensor(
            [min(self._written(row), self.new_tokens - 1) for row in range(len(self.rows))],
            device=self.anchor.device,
        )
        return base.Judge(self.sampling.law, self._noise, place, self.sampling.pick)

    def _commit(
        self, verdict: base.Verdict, draft: base.Draft, features: Tensor | None, active: list[int]
    ) -> tuple[list[int], list[int], list[int], Tensor | None]:
        """Read what was accepted, the one wait of a cycle, and write it."""
        parts = [verdict.counts[:, None], verdict.tokens]
        if verdict.path is not None:
            parts += [verdict.path, draft.tokens]
        told = torch.cat(parts, 1).tolist()
        width = verdict.tokens.shape[1]
        accepted, grown = [0] * len(told), [0] * len(told)
        committed, paths = [0] * len(told), [[] for _ in told]
        for row in active:
            count = told[row][0]
            tokens = told[row][1 : count + 2]
            accepted[row], committed[row] = count, self._write(row, tokens)
            # A row that has ended needs no more columns; it may have been offered more than it could take.
            grown[row] = 0 if self.done[row] else count + 1
            self.agreed[row] = count
            if verdict.path is not None:
                paths[row] = told[row][1 + width : 1 + width + count]
                own = told[row][1 + width + verdict.path.shape[1] :]
                pairs = zip(tokens[:count], own, strict=False)
                self.agreed[row] = next(
                    (k for k, (mine, its) in enumerate(pairs) if mine != its), min(count, len(own))
                )
        fresh = self.verifier.keep(features, verdict.path, paths, grown)
        if len(self.rows) == 1:
            self.anchor = verdict.tokens[:, accepted[0] : accepted[0] + 1]
        else:
            last = verdict.tokens.gather(1, verdict.counts[:, None])
            moved = torch.tensor(grown, device=last.device)[:, None] > 0
            self.anchor = torch.where(moved, last, self.anchor)
        return accepted, grown, committed, fresh

    def _write(self, row: int, tokens: list[int]) -> int:
        """Commit tokens to a row, up to its end. Returns how many were."""
        tokens = tokens[: self.new_tokens - self._written(row)]
        end = next((place for place, token in enumerate(tokens) if token in self.stoppers), None)
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
        """Output positions that are final in every row; all, of a row that has ended."""
        return min(self.new_tokens if self.done[row] else self._written(row) for row in range(len(self.rows)))

    def _tell(self, draft, tree, accepted, committed, active) -> None:
        observer = self.observer
        if len(self.rows) == 1:
            observer.step(committed[0])
        else:
            observer.step(torch.tensor(committed))
        observer.block(self._final())
        facts: dict[str, Any] = {}
        for strategy in self.with_.all():
            facts |= strategy.facts()
        rows = len(active)
        observer.cycle(
            tau=sum(committed) / rows,
            block=1 + len(draft),
            accepted=sum(accepted) / rows,
            drafted=tree.shape.deepest,
            verified=1 + tree.size,
            rows=rows,
            passes=len(tree.parts) or 1,
            **facts,
        )

    def _output(self) -> Decoded:
        fill = self.eos if self.eos is not None else 0
        rows = [row[size:] for row, size in zip(self.rows, self.prompt_sizes, strict=True)]
        rows = [row + [fill] * (self.new_tokens - len(row)) for row in rows]
        output = torch.tensor(rows, device=self.anchor.device)
        verifier = self.verifier
        return Decoded(output, count_useful(output, self.ends), verifier.passes, verifier.positions)
