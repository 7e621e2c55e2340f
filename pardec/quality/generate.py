"""Untimed decoding of prompts, with a status for each: a prompt that cannot be decoded gets a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pardec.common.errors import UnfitError, UserError, unfit
from pardec.common.lazy import lazy
from pardec.measure.cell import CellTimeout, out_of_memory
from pardec.measure.compiling import refused
from pardec.measure.finite import refuse_nan

torch = lazy("torch")

BATCH = 16
"""Prompts decoded together; `ALONE` checks whether the batch changes tokens."""
ALONE = {"float32": 2}
"""By precision, the number of prompts decoded once more alone, to check whether the batch changes tokens. In float32 it
must not; in shorter formats the sum of a row depends on the shape of the batch."""
ALONE_ELSEWHERE = 8
Row = dict[str, Any]


def ending(error: BaseException) -> tuple[str, str]:
    """Return the status (oom, unsupported, failed) and reason after an exception, whose notes name the side.

    A file that cannot be read fails; parts that do not fit each other are unsupported.
    """
    notes = ", ".join(dict.fromkeys(getattr(error, "__notes__", ())))
    where = f" ({notes})" if notes else ""
    if isinstance(error, UserError):
        status = "unsupported" if isinstance(error, UnfitError) else "failed"
        return status, f"{error.where}: {error.what}{where}"
    if isinstance(error, NotImplementedError):
        return "unsupported", f"{error or 'not implemented'}{where}"
    status = "oom" if out_of_memory(error) else "unsupported" if refused(error) else "failed"
    return status, f"{type(error).__name__}: {error}"[:2000] + where


def ended(prompt: Row, status: str, reason: str) -> Row:
    """Return the row of a prompt without an output."""
    return {**prompt, "prompt_ids": None, "tokens": [], "text": None, "status": status, "reason": reason}


class Writer:
    """Writes outputs after prompts with a loaded arm.

    seed_of: maps a record's id to the seed of its samples. report: called with the number of finished rows.
    """

    def __init__(
        self,
        model: Any,
        decoder: Any,
        tokenizer: Any,
        device: str,
        new_tokens: int,
        seed_of: Callable[[str], int],
        report: Callable[[int], None] = lambda done: None,
    ):
        self.model, self.decoder, self.tokenizer = model, decoder, tokenizer
        self.device, self.new_tokens, self.seed_of, self.report = device, new_tokens, seed_of, report
        self._looked = False

    def write(self, prompts: Sequence[Row], tokens: Sequence[list[int]], precision: str) -> list[Row]:
        """Return one row per prompt, in order; a failed one has a status, a reason and no text.

        If time runs out (`CellTimeout`), finished rows are kept, and the others have status `timeout`.
        """
        rows: dict[int, Row] = {}
        try:
            self._fill(rows, prompts, tokens, precision)
        except CellTimeout:
            reason = f"no time left after {len(rows)} of {len(prompts)} prompts"
            late = [k for k in range(len(prompts)) if k not in rows]
            rows |= {k: ended(prompts[k], "timeout", reason) for k in late}
        return [rows[k] for k in range(len(prompts))]

    def _fill(
        self, rows: dict[int, Row], prompts: Sequence[Row], tokens: Sequence[list[int]], precision: str
    ) -> None:
        """Put the row of every prompt into `rows`, by its number."""
        for k, pair in enumerate(zip(prompts, tokens, strict=True)):
            if (long := self._too_long(*pair)) is not None:
                rows[k] = long
        fit = [k for k in range(len(prompts)) if k not in rows]
        for start in range(0, len(fit), BATCH):
            chosen = fit[start : start + BATCH]
            for k, row in zip(chosen, self._batch(prompts, tokens, chosen), strict=True):
                rows[k] = row
            self.report(len(rows))
            if start == 0 and all(rows[k].get("status") == "unsupported" for k in chosen):
                # An arm that is unsupported for the first prompts is so for all.
                rest = (rows[chosen[0]]["status"], rows[chosen[0]]["reason"])
                for k in fit[start + BATCH :]:
                    rows[k] = ended(prompts[k], *rest)
                break
        good = [k for k in fit if "status" not in rows[k]]
        for k in good[: ALONE.get(precision, ALONE_ELSEWHERE)] if len(good) > 1 else ():
            (alone,) = self._batch(prompts, tokens, [k])
            rows[k]["same_alone"] = alone["tokens"] == rows[k]["tokens"]

    def _too_long(self, prompt: Row, tokens: list[int]) -> Row | None:
        from pardec.decoding.prepared import beyond_positions

        reason = beyond_positions(self.model, len(tokens), self.new_tokens)
        return None if reason is None else ended(prompt, "too_long", reason)

    def _batch(self, prompts: Sequence[Row], tokens: Sequence[list[int]], chosen: list[int]) -> list[Row]:
        """Return the rows of one batch; if it fails, decode each prompt alone."""
        try:
            return self._decoded(prompts, tokens, chosen)
        except Exception as error:
            status, reason = ending(error)
            if len(chosen) == 1 or status == "unsupported":
                return [ended(prompts[k], status, reason) for k in chosen]
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        return [row for k in chosen for row in self._batch(prompts, tokens, [k])]

    def _decoded(self, prompts: Sequence[Row], tokens: Sequence[list[int]], chosen: list[int]) -> list[Row]:
        from pardec.decoding.batching import pad_left

        seeds = [self.seed_of(prompts[k]["id"]) for k in chosen]
        batch = pad_left([tokens[k] for k in chosen], seeds, self.model.info.pad_id, self.device)
        with unfit(), self._without_nan(batch):
            decoded = self.decoder.decode(self.model, batch, self.new_tokens)
        checks = self.decoder.check_outputs(self.model, batch) or [None] * len(chosen)
        rows = []
        for k, output, check in zip(chosen, decoded.tokens.tolist(), checks, strict=True):
            text = self.tokenizer.decode(output, prompt=tokens[k])
            row = {**prompts[k], "prompt_ids": tokens[k], "tokens": output, "text": text}
            rows.append(row if check is None else {**row, "checks": check})
        return rows

    @contextmanager
    def _without_nan(self, batch: Any) -> Iterator[None]:
        """Refuse NaN in the passes inside the block: tokens are chosen from them too, and no score shows it.

        Where another library makes the passes, one plain pass of ours over the first batch is looked at.
        """
        from pardec.models.architectures.base import LanguageModel

        seen = [self.model] if isinstance(self.model, torch.nn.Module) else []
        with refuse_nan(*seen) as passes:
            yield
        if passes or self._looked or not isinstance(self.model, LanguageModel):
            return
        with refuse_nan(self.model), torch.inference_mode():
            self.model(batch.tokens, pad=batch.pad)
        self._looked = True
