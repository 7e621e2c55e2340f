"""Data made here: examples of one or several tasks."""

from __future__ import annotations

import warnings
from random import Random
from typing import Any, Literal

from pydantic import Field, create_model, model_validator

from pardec.common.settings import Settings
from pardec.data.base import Example, Task
from pardec.data.registry import TASKS
from pardec.data.sources.base import Prepared, Source
from pardec.data.split import heldout_keys, record


def _choice(name: str) -> tuple:
    task = TASKS.load(name)
    about = (task.__doc__ or "").partition("\n")[0]
    return (
        task.Settings | None,
        Field(None, description=f"Settings of the task `{name}`, {{}} for defaults. {about}"),
    )


with warnings.catch_warnings():
    # The task "copy" hides pydantic's deprecated method of that name, which nothing here calls.
    warnings.filterwarnings("ignore", message='Field name "copy"')
    choices: dict[str, Any] = {name: _choice(name) for name in TASKS}
    TaskChoices = create_model("TaskChoices", __base__=Settings, **choices)
TaskChoices.__doc__ = (
    "The tasks of a data set, each with its own settings; a task that is not named is left out."
)


class Tasks(Source):
    """Distinct examples of tasks, made by the workflow and split by the hash of the prompt."""

    source: Literal["tasks"] = "tasks"
    """Where the data comes from."""
    tasks: TaskChoices
    """The tasks, each with its settings: `{copy: {}, sort: {max_items: 10}}`."""
    train: int = Field(12_000, ge=1, le=1_000_000)
    """Training examples per task, at most; a task with few prompts gives all that are not held out."""
    heldout: int = Field(512, ge=1, le=100_000)
    """Held-out examples per task, at most."""
    heldout_share: float = Field(0.25, gt=0, lt=1)
    """Greatest share of a task's distinct prompts that is held out."""

    @model_validator(mode="after")
    def _some(self) -> Tasks:
        if not self.chosen():
            raise ValueError(f"tasks names no task; known: {', '.join(TASKS)}")
        return self

    def chosen(self) -> dict[str, Task]:
        """Return the chosen tasks by name, in the registry's order."""
        settings = {name: getattr(self.tasks, name) for name in TASKS}
        return {name: TASKS.load(name)(chosen) for name, chosen in settings.items() if chosen is not None}

    def build(self, seed: int) -> Prepared:
        from pardec.data.tokenizers import task_tokenizer

        train: list[dict] = []
        heldout: list[dict] = []
        tasks = self.chosen()
        for name, task in tasks.items():
            chosen = {example.prompt: example for example in task.held_out()}
            drawn = distinct(task, self.train + self.heldout, Random(f"{seed}/{name}"))
            rest = [example for example in drawn if example.prompt not in chosen]
            examples = [*chosen.values(), *rest]
            count = min(self.heldout, round(self.heldout_share * len(examples))) - len(chosen)
            kept_out = {*chosen, *heldout_keys((example.prompt for example in rest), seed, max(0, count))}
            for example in examples:
                side = heldout if example.prompt in kept_out else train
                side.append(record(name, example.prompt, example.answer))
        symbols = [symbol for task in tasks.values() for symbol in task.symbols()]
        longest = max(task.max_answer_tokens() for task in tasks.values())
        return Prepared(train, heldout, task_tokenizer(symbols), True, {"max_answer_tokens": longest})


def distinct(task: Task, count: int, rng: Random) -> list[Example]:
    """Return at most `count` examples with distinct prompts, in random order; fewer where the task has fewer."""
    every = task.every()
    if every is not None:
        return rng.sample(every, min(count, len(every)))
    examples: dict[str, Example] = {}
    misses = 0
    # A small task is taken to be exhausted once a thousand draws in a row bring nothing new.
    while len(examples) < count and misses < 1000:
        example = task.example(rng)
        misses = misses + 1 if example.prompt in examples else 0
        examples.setdefault(example.prompt, example)
    return list(examples.values())
