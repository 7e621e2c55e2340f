"""From rows of somebody's data set to prompt records: which field, what shape, where a text is cut."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.data.sources.base import Prepared, Source
from pardec.data.split import heldout_keys, record


class RowSource(Source):
    """A source whose rows somebody else made; its records are held out unless `heldout_share` says less."""

    field: str = Field("text", min_length=1)
    """Where a row holds its text; dots enter nested values, as in `messages.0.content`."""
    answer_field: str | None = None
    """Where a row holds the answer, if it has one."""
    shape: Literal["plain", "wikitext", "conversation"] = "plain"
    """What a row is: a text, a line of an article (wikitext), or the turns of a conversation (ShareGPT)."""
    prompt_words: int | None = Field(None, ge=1)
    """Cut each text after this many words; what follows is the answer. Null: the whole text is the prompt."""
    answer_words: int = Field(64, ge=1)
    """Longest answer, in words, where `prompt_words` cuts a text."""
    most_words: int | None = Field(None, ge=1)
    """Leave out prompts of more words; null keeps all."""
    task: str = Field("text", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """What the records call their task."""
    limit: int = Field(512, ge=1)
    """Most held-out records; those that come first by the seeded hash are kept."""
    heldout_share: float = Field(1.0, gt=0, le=1)
    """Share of the distinct prompts that is held out; the rest is for training."""

    def split_rows(self, rows: Iterable[dict[str, Any]], seed: int, facts: dict[str, Any]) -> Prepared:
        """Make records of `rows` and split them by the hash of the prompt.

        Raises:
            UserError: a missing field, or not one prompt; names the data set.
        """
        where = facts["name"]
        records: dict[str, dict] = {}
        pairs = list(self.pairs(rows, where))
        for prompt, answer in pairs:
            if prompt.strip():
                records.setdefault(prompt, record(self.task, prompt, answer))
        if not records:
            raise UserError(
                where, f"holds no prompt in field {self.field!r}", "check the file, field and shape"
            )
        everything = len(records)
        if self.most_words is not None:
            records = {
                prompt: row for prompt, row in records.items() if len(prompt.split()) <= self.most_words
            }
            if not records:
                what = f"holds no prompt of at most {self.most_words} words"
                raise UserError(where, what, "raise most_words")
        count = max(1, round(self.heldout_share * len(records)))
        held = heldout_keys(records, seed, count)
        kept = heldout_keys(held, seed, self.limit)
        train = [row for prompt, row in records.items() if prompt not in held]
        heldout = [row for prompt, row in records.items() if prompt in kept]
        counts = {"texts": len(pairs), "empty_or_repeated": len(pairs) - everything}
        if self.most_words is not None:
            counts["too_long"] = everything - len(records)
        complete = self.answer_field is not None or self.shape == "conversation"
        return Prepared(train, heldout, None, complete, {"text": {**facts, **counts}})

    def pairs(self, rows: Iterable[dict[str, Any]], where: str) -> Iterator[tuple[str, str | None]]:
        """Prompt and answer of each text."""
        if self.shape == "conversation":
            for number, row in enumerate(rows, 1):
                yield first_exchange(pick(row, self.field, f"{where}, row {number}"))
            return
        if self.shape == "wikitext":
            lines = (pick(row, self.field, f"{where}, row {number}") for number, row in enumerate(rows, 1))
            texts: Iterable[tuple[Any, Any]] = ((article, None) for article in articles(lines))
        else:
            texts = self._plain(rows, where)
        for text, answer in texts:
            if text is None:
                continue
            if not isinstance(text, str):
                fix = f"name a field that holds text, or another shape than {self.shape!r}"
                raise UserError(
                    f"{where}, field {self.field!r}", f"holds {type(text).__name__}, not text", fix
                )
            yield (text, answer) if answer is not None or self.prompt_words is None else self.cut(text)

    def _plain(self, rows: Iterable[dict[str, Any]], where: str) -> Iterator[tuple[Any, str | None]]:
        for number, row in enumerate(rows, 1):
            place = f"{where}, row {number}"
            answer = None if self.answer_field is None else pick(row, self.answer_field, place)
            yield pick(row, self.field, place), None if answer is None else str(answer)

    def cut(self, text: str) -> tuple[str, str | None]:
        """The first `prompt_words` words and, spaces kept, what follows; no prompt where nothing follows."""
        ends = [match.end() for match in re.finditer(r"\S+", text)]
        if len(ends) <= self.prompt_words:
            return "", None
        middle = ends[self.prompt_words - 1]
        return text[:middle].lstrip(), text[
            middle : ends[min(len(ends), self.prompt_words + self.answer_words) - 1]
        ]


def pick(row: Any, field: str, where: str) -> Any:
    """The value at dotted path `field` of a row.

    Raises:
        UserError: no such field; names the nearest.
    """
    value = row
    for part in field.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            names = [str(name) for name in value] if isinstance(value, dict) else []
            near = difflib.get_close_matches(part, names, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            known = f"it has: {', '.join(names)}" if names else "there is nothing to look into"
            raise UserError(where, f"has no field {field!r}", hint + known)
    return value


def first_exchange(turns: Any) -> tuple[str, str | None]:
    """The first human turn and the answer right after it; an empty prompt where there is none.

    Turns are ShareGPT's {"from", "value"} or the {"role", "content"} of chat interfaces.
    """
    said = [
        (turn.get("from", turn.get("role")), turn.get("value", turn.get("content")))
        for turn in turns or []
        if isinstance(turn, dict)
    ]
    for place, (speaker, text) in enumerate(said):
        if speaker in ("human", "user") and text:
            following = said[place + 1] if place + 1 < len(said) else (None, None)
            return text, following[1] if following[0] in (
                "gpt",
                "chatgpt",
                "bing",
                "bard",
                "assistant",
            ) else None
    return "", None


HEADING = re.compile(r"^(?:= )+[^=].*?(?: =)+$")
TITLE = re.compile(r"^= [^=](?:.*[^=])? =$")


def articles(lines: Iterable[str | None]) -> Iterator[str]:
    """Articles of wikitext: a title line starts one, other headings and blank lines go, `@-@` becomes `-`."""
    parts: list[str] = []
    for raw in lines:
        line = (raw or "").strip()
        if TITLE.match(line) and parts:
            yield "\n\n".join(parts)
            parts = []
        if line and not HEADING.match(line):
            parts.append(re.sub(r" @(.)@ ", r"\1", line))
    if parts:
        yield "\n\n".join(parts)
