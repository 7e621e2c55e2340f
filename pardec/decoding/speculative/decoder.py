"""Speculative decoding as a decoder: the settings that choose its strategies by name."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, model_validator

from pardec.common.lazy import lazy
from pardec.common.registry import Registry
from pardec.common.settings import Settings
from pardec.decoding.autoregressive import check_sampling
from pardec.decoding.base import SILENT, Decoded, Decoder, Observer, PromptBatch
from pardec.decoding.speculative import registry

if TYPE_CHECKING:
    from pardec.decoding.speculative.loop import Strategies
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")

NONE = "none"
"""The name in settings that leaves a kind of strategy out."""


class NoStrategy(Settings):
    """No strategy of this kind."""

    name: Literal["none"] = "none"
    """The name of no strategy."""


def _any_of(entries: Registry, *others: type[Settings]) -> Any:
    """Return the union type of the settings of all entries, discriminated by name."""
    kinds = [*others, *(entries.load(name).Settings for name in entries)]
    return Annotated[reduce(or_, kinds), Field(discriminator="name")]


def _first(entries: Registry) -> Settings:
    return entries.load(next(iter(entries))).Settings()


ASKING = {"tree", "tree_lite", "candidates", "confidence", "rank_suffix", "rounds", "adaptive"}
"""Proposals and truncations that read the draft's probabilities."""


if TYPE_CHECKING:  # the registries' settings, which only a running program knows
    AnyDrafter: TypeAlias = Any
    AnySchedule: TypeAlias = Any
    AnySeeding: TypeAlias = Any
    AnyRefinement: TypeAlias = Any
    AnyTruncation: TypeAlias = Any
    AnyProposal: TypeAlias = Any
    AnyAcceptance: TypeAlias = Any
else:
    AnyDrafter = _any_of(registry.DRAFTERS)
    AnySchedule = _any_of(registry.SCHEDULES)
    AnySeeding = _any_of(registry.SEEDINGS, NoStrategy)
    AnyRefinement = _any_of(registry.REFINEMENTS, NoStrategy)
    AnyTruncation = _any_of(registry.TRUNCATIONS, NoStrategy)
    AnyProposal = _any_of(registry.PROPOSALS)
    AnyAcceptance = _any_of(registry.RULES)


class SpeculativeSettings(Settings):
    """One strategy per kind; strategies are independent of each other."""

    drafter: AnyDrafter = _first(registry.DRAFTERS)
    """The model or rule that writes the draft."""
    block: int = Field(8, ge=2, le=64)
    """Tokens per block, the anchor included: one fewer are drafted. With an adaptive schedule, its first
    choice."""
    schedule: AnySchedule = _first(registry.SCHEDULES)
    """The size of each block."""
    seeding: AnySeeding = NoStrategy()
    """The use of drafted tokens behind a rejected one; `none` discards them."""
    refinement: AnyRefinement = NoStrategy()
    """Further passes of the draft over its block; `none` makes one pass only."""
    truncation: AnyTruncation = NoStrategy()
    """The rule that cuts the draft before it is verified; `none` verifies all of it."""
    proposal: AnyProposal = _first(registry.PROPOSALS)
    """The form in which the draft is verified: a chain, or a tree."""
    acceptance: AnyAcceptance = _first(registry.RULES)
    """The rule that accepts drafted tokens; every rule is exact."""
    temperature: float = Field(0.0, ge=0, le=100)
    """Logits are divided by this before a token is drawn; 0 takes the most probable token."""
    top_k: int | None = Field(None, ge=1)
    """Draw from this many most probable tokens only; null means all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw from the smallest set of most probable tokens with at least this total probability; 1 means all."""
    stop: Literal["length", "eos"] = "length"
    """`length` writes the same number of tokens on every row; `eos` ends a row at its end token."""
    eos: Literal["free", "ban"] = "free"
    """`ban` never writes the end token (for continuations of one length)."""

    @model_validator(mode="after")
    def _fit_together(self) -> SpeculativeSettings:
        drafter = registry.DRAFTERS.load(self.drafter.name)
        rule = registry.RULES.load(self.acceptance.name)
        proposal = registry.PROPOSALS.load(self.proposal.name)
        if self.temperature == 0 and rule.draws:
            raise ValueError(f"acceptance {self.acceptance.name} draws tokens: set a temperature above 0")
        if proposal.rounds and not rule.residual:
            raise ValueError(
                f"proposal {self.proposal.name} offers candidates in rounds: use acceptance residual"
            )
        if not drafter.marginals:
            asks = [
                f"{key} {strategy.name}"
                for key, strategy in (("proposal", self.proposal), ("truncation", self.truncation))
                if strategy.name in ASKING
            ]
            if asks:
                raise ValueError(f"{asks[0]} asks for probabilities, which drafter {self.drafter.name} lacks")
        if not drafter.varies and getattr(self.proposal, "source", None) == "dropout":
            raise ValueError(f"proposal source dropout: drafter {self.drafter.name} cannot drop features")
        if not drafter.redrafts and getattr(self.proposal, "refine", False):
            raise ValueError(f"proposal refine: drafter {self.drafter.name} cannot draft a block again")
        if rule.draws and getattr(self.proposal, "refine", False):
            raise ValueError(
                "proposal refine reads drawn tokens, so what it drafts has no known distribution"
            )
        if not drafter.redrafts and (self.seeding.name, self.refinement.name) != (NONE, NONE):
            raise ValueError(
                f"seeding and refinement draft a block from its own tokens; drafter {self.drafter.name} cannot"
            )
        if rule.draws and self.refinement.name == "selective":
            raise ValueError(
                "refinement selective keeps tokens that its second pass has read, so what a drawn draft was "
                "drawn from is not known"
            )
        return self


class Speculative(Decoder):
    """A draft proposes and the target verifies; the output is that of the target at these settings."""

    Settings = SpeculativeSettings
    settings: SpeculativeSettings
    needs: ClassVar[str] = "causal"
    family: ClassVar[str] = "speculative"
    accompanied: ClassVar[tuple[str, ...]] = ("draft",)

    @classmethod
    def check(cls, settings: SpeculativeSettings, new_tokens: int) -> str | None:
        return check_sampling(settings, new_tokens)

    @classmethod
    def wants(cls, settings: SpeculativeSettings) -> tuple[str, ...]:
        companion = registry.DRAFTERS.load(settings.drafter.name).companion
        return () if companion is None else (companion,)

    @classmethod
    def modules(cls, settings: SpeculativeSettings) -> tuple[str, ...]:
        names = {kind: getattr(settings, kind).name for kind in registry.KINDS}
        chosen = [registry.KINDS[kind].module(name) for kind, name in names.items() if name != NONE]
        return (cls.__module__, *dict.fromkeys(chosen))

    @classmethod
    def clocked(cls, settings: SpeculativeSettings) -> bool:
        return registry.SCHEDULES.load(settings.schedule.name).clocked

    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Return the `new_tokens` tokens written after each prompt.

        Raises:
            UserError: the draft was made for another target, or the target cannot read trees.
            RuntimeError: something other than the loop ran the target.
        """
        from pardec.decoding.speculative.loop import Loop
        from pardec.decoding.speculative.sampling import Sampling

        settings = self.settings
        banned = model.info.ends if settings.eos == "ban" else ()
        with torch.inference_mode():
            observer.start()
            sampling = Sampling(settings, prompts.seeds, new_tokens, banned)
            companion = self.companions.get("draft")
            at_eos = settings.stop == "eos"
            loop = Loop(self.strategies(), sampling, at_eos, model, companion, prompts, new_tokens, observer)
            return loop.run()

    def strategies(self) -> Strategies:
        """Return new strategies for one generation."""
        from pardec.decoding.speculative.loop import Strategies

        settings = self.settings

        def made(entries: Registry, chosen: Any) -> Any:
            return None if chosen.name == NONE else entries.load(chosen.name)(chosen)

        return Strategies(
            drafter=made(registry.DRAFTERS, settings.drafter),
            schedule=registry.SCHEDULES.load(settings.schedule.name)(settings.schedule, settings.block),
            proposal=made(registry.PROPOSALS, settings.proposal),
            refinement=made(registry.REFINEMENTS, settings.refinement),
            seeding=made(registry.SEEDINGS, settings.seeding),
            truncation=made(registry.TRUNCATIONS, settings.truncation),
            rule=made(registry.RULES, settings.acceptance),
        )
