"""The drafting ideas, read from YAML: what each is, which arms realise it, and what it is held against."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field

from pardec.common.settings import Settings
from pardec.evidence.yaml_files import fault, read_yaml

SHIPPED = Path(__file__).parents[2] / "studies/ideas.yaml"
"""The ideas of seed 003, and those beyond it."""
BEST_FIXED = "best fixed block"
"""In place of an arm: the fixed block that was fastest on prompts kept for tuning, for each workload."""


class Setting(Settings):
    """One way to realise an idea."""

    name: str
    """What claims call it, within the idea."""
    arm: str
    """The study's arm with these settings."""
    words: str
    """What sets it apart from the idea's other settings."""
    control: str | None = None
    """The arm that runs the same machinery with the idea switched off; it must write the tokens and take the cycles of
    `against`."""
    against: str | None = None
    """The arm that it is held against; null is the baseline, `best fixed block` the fastest fixed block."""


class Idea(Settings):
    """One idea."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    """Its name in ids of values."""
    title: str
    """What it is called."""
    by_law: bool = False
    """Whether outputs are drawn, so that a test of their distribution stands for equal tokens."""
    instrument: bool = False
    """Whether it measures and changes no token, so that it has no speed of its own."""
    what: str
    """What it is."""
    hope: str
    """What it should do."""
    why: str
    """What is known of the reasons, in words that no measurement changes."""
    settings: list[Setting] = Field(min_length=1)
    """The first decides the idea's status, the others stand beside it; which one is first was fixed before anything was
    measured."""


class Ideas(Settings):
    """A file of ideas."""

    baseline: str
    """The arm that ideas are held against unless a setting names another: one chain of a fixed block."""
    sampled: str
    """The same for ideas that draw tokens at a temperature."""
    reference: str
    """The sequential arm that speedups and lossless outputs are held against."""
    seeded: int = 0
    """How many ideas, from the first on, the seed lists."""
    ideas: list[Idea]
    """The ideas in order; the place of an idea is its number."""

    def number(self, idea: Idea) -> int:
        return self.ideas.index(idea) + 1

    def against(self, setting: Setting) -> str:
        return setting.against or self.baseline

    def base(self, idea: Idea) -> str:
        """The plain draft that draws tokens as the idea does."""
        return self.sampled if idea.by_law else self.baseline


@cache
def load_ideas(path: str | Path | None = None) -> Ideas:
    """The ideas of a file; without one those that the project ships.

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
