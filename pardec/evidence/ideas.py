"""Read drafting ideas from YAML: descriptions, the arms of each idea, and their references."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field

from pardec.common.settings import Settings
from pardec.evidence.yaml_files import fault, read_yaml

SHIPPED = Path(__file__).parents[2] / "studies/ideas.yaml"
"""The ideas of seed document 003, and further ones."""
BEST_FIXED = "best fixed block"
"""In place of an arm: by workload, the fixed block that was fastest on prompts reserved for tuning."""


class Setting(Settings):
    """One way to realise an idea."""

    name: str
    """Its name in claims, unique within the idea."""
    arm: str
    """The study's arm with these settings."""
    words: str
    """Words that distinguish it from the idea's other settings."""
    control: str | None = None
    """The arm that runs the same machinery with the idea switched off; it must write the tokens and take the cycles of
    `against`."""
    against: str | None = None
    """Its reference arm; null is the baseline, `best fixed block` the fastest fixed block."""


class Idea(Settings):
    """One idea."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    """Its name in ids of values."""
    title: str
    """Its title."""
    by_law: bool = False
    """Whether outputs are drawn, so that their distribution is tested instead of their tokens."""
    instrument: bool = False
    """Whether it only measures and changes no token, so that it has no speed."""
    what: str
    """Description."""
    hope: str
    """Expected benefit."""
    why: str
    """Known reasons, in words that no measurement changes."""
    settings: list[Setting] = Field(min_length=1)
    """The first decides the idea's status, the others are shown beside it; the order was fixed before measuring."""


class Ideas(Settings):
    """A file of ideas."""

    baseline: str
    """The reference arm of ideas unless a setting names another: one chain of a fixed block."""
    sampled: str
    """The same for ideas that draw tokens at a temperature."""
    reference: str
    """The sequential arm, the reference of speedups and lossless outputs."""
    seeded: int = 0
    """Number of ideas, from the first on, that the seed document lists."""
    ideas: list[Idea]
    """The ideas in order; an idea's position is its number."""

    def number(self, idea: Idea) -> int:
        """Return the place of an idea in the list, counted from 1."""
        return self.ideas.index(idea) + 1

    def against(self, setting: Setting) -> str:
        """Return the arm that a setting is compared with: its own, or the baseline."""
        return setting.against or self.baseline

    def base(self, idea: Idea) -> str:
        """Return the plain draft that draws tokens as the idea does."""
        return self.sampled if idea.by_law else self.baseline


@cache
def load_ideas(path: str | Path | None = None) -> Ideas:
    """Return the ideas of a file; the shipped ones without a file.

    Raises:
        UserError: the file is missing or breaks the format; names file, line and key.
    """
    path = Path(path or SHIPPED)
    ideas = read_yaml(path, Ideas)
    known: set[str] = set()
    for number, idea in enumerate(ideas.ideas):
        if idea.id in known:
            raise fault(path, ["ideas", str(number), "id"], f"{idea.id!r} is the id of another idea too")
        known.add(idea.id)
    return ideas
