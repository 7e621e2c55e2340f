"""Prompt records from rows of a foreign data set: choice of the field, its shape, and the cut of a text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.data.fields import Missing, first_exchange, pick, text_of
from pardec.data.sources.base import Prepared, Source
from pardec.data.split import heldout_keys, record


class RowSource(Source):
    """A source of foreign rows; all its records are held out unless `heldout_share` is below 1."""

    field: str = Field("text", min_length=1)
    """Field path of a row's text; dots enter nested values, as in `messages.0.content`. Rows without it are skipped and
    counted."""
    answer_field: str | None = None
    """Field path of the answer, if any, as in `answers.text.0`; a row without it has no answer."""
    shape: Literal["plain", "wikitext", "conversation"] = "plain"
    """Kind of row: a text, a line of an article (wikitext), or the turns of a conversation (ShareGPT)."""
    prompt_words: int | None = Field(None, ge=1)
    """Cut each text after this many words; the rest is the answer. null: the whole text is the prompt."""
    answer_words: int = Field(64, ge=1)
    """Longest answer, in words, if `prompt_words` cuts a text."""
    most_words: int | None = Field(None, ge=1)
    """Leave out prompts of more words; null keeps all."""
    task: str = Field("text", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the records' task."""
    limit: int = Field(512, ge=1)
    """Most held-out records; the first ones by the seeded hash are kept."""
    heldout_share: float = Field(1.0, gt=0, le=1)
    """Share of the distinct prompts that is held out; the rest is for training."""

    def split_rows(self, rows: Iterable[dict[str, Any]], seed: int, facts: dict[str, Any]) -> Prepared:
        """Make records of `rows` and split them by the hash of the prompt.

        Raises:
            UserError: a missing field, or not one prompt; names the data set.
        """
        where = facts["name"]
        records: dict[str, dict] = {}
        lacking: Counter[str] = Counter()
        pairs = list(self.pairs(rows, where, lacking))
        differing = 0
        for prompt, answer in pairs:
            if prompt.strip():
                first = records.setdefault(prompt, record(self.task, prompt, answer))
                differing += answer not in (None, first["answer"])
        if not records:
            raise UserError(
                where, f"contains no prompt in field {self.field!r}", "check the file, field and shape"
            )
        everything = len(records)
        if self.most_words is not None:
            records = {
                prompt: row for prompt, row in records.items() if len(prompt.split()) <= self.most_words
            }
            if not records:
                what = f"contains no prompt of at most {self.most_words} words"
                raise UserError(where, what, "raise most_words")
        count = max(1, round(self.heldout_share * len(records)))
        held = heldout_keys(records, seed, count)
        kept = heldout_keys(held, seed, self.limit)
        train = [row for prompt, row in records.items() if prompt not in held]
        heldout = [row for prompt, row in records.items() if prompt in kept]
        counts = {"texts": len(pairs), "empty_or_repeated": len(pairs) - everything}
        if differing:
            counts["repeated_with_another_answer"] = differing
        counts |= {f"rows_without_{field}": number for field, number in lacking.items()}
        if self.most_words is not None:
            counts["too_long"] = everything - len(records)
        complete = self.answer_field is not None or self.shape == "conversation"
        return Prepared(train, heldout, None, complete, {"text": {**facts, **counts}})

    def pairs(
        self, rows: Iterable[dict[str, Any]], where: str, lacking: Counter[str]
    ) -> Iterator[tuple[str, str | None]]:
        """Yield prompt and answer of each text; `lacking` counts the rows without a field."""
        values = self.values(rows, where, lacking)
        if self.shape == "conversation":
            yield from self.exchanges(values, lacking)
            return
        texts = ((place, text_of(value, self.field, place), answer) for place, value, answer in values)
        if self.shape == "wikitext":
            texts = ((where, article, None) for article in articles(text for _, text, _ in texts))
        for place, text, answer in texts:
            if text is not None:
                cut = answer is None and self.prompt_words is not None
                if cut:
                    yield self.cut(text)
                    continue
                answer = text_of(answer, self.answer_field or "", place, numbers=True)
                yield text, answer if answer and answer.strip() else None

    def exchanges(
        self, values: Iterable[tuple[str, Any, Any]], lacking: Counter[str]
    ) -> Iterator[tuple[str, str | None]]:
        """Yield the first exchange of each conversation; a row whose field has none counts as a row without the field.

        Raises:
            UserError: no row has one.
        """
        none, error = True, None
        for place, turns, _ in values:
            try:
                exchange = first_exchange(turns, self.field, place)
            except UserError as refusal:
                lacking[self.field] += 1
                error = error or refusal
                continue
            none = False
            yield exchange
        if none and error is not None:
            raise error

    def values(
        self, rows: Iterable[dict[str, Any]], where: str, lacking: Counter[str]
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield place, text and answer of each row, unchanged; rows without the text are left out.

        Raises:
            UserError: no row has the field.
        """
        wanted = [self.field, self.answer_field]
        seen: set[str | None] = {None}
        first: dict[str, Missing] = {}
        for number, row in enumerate(rows, 1):
            place = f"{where}, row {number}"
            values = dict.fromkeys(wanted)
            for field in filter(None, wanted):
                try:
                    values[field] = pick(row, field, place)
                    seen.add(field)
                except Missing as error:
                    lacking[field] += 1
                    first.setdefault(field, error)
                    if field == self.field:
                        break
            else:
                yield place, values[self.field], values[self.answer_field]
        for field, missing in first.items():
            if field not in seen:
                raise missing

    def cut(self, text: str) -> tuple[str, str | None]:
        """Return the first `prompt_words` words and the text after them, spaces kept; no prompt if none follows."""
        ends = [match.end() for match in re.finditer(r"\S+", text)]
        if self.prompt_words is None or len(ends) <= self.prompt_words:
            return "", None
        middle = ends[self.prompt_words - 1]
        return text[:middle].lstrip(), text[
            middle : ends[min(len(ends), self.prompt_words + self.answer_words) - 1]
        ]


HEADING = re.compile(r"^(?:= )+[^=].*?(?: =)+$")
TITLE = re.compile(r"^= [^=](?:.*[^=])? =$")


def articles(lines: Iterable[str | None]) -> Iterator[str]:
    """Yield articles of wikitext: a title line starts one; other headings and blank lines are dropped, `@-@` becomes
    `-`."""
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
