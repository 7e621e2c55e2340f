"""Divide a study into parts for several machines: `--config shard=2/8`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pardec.common.errors import UserError


@dataclass(frozen=True)
class Shard:
    """Part `number` of `of` parts, counted from one."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: Any) -> Shard:
        """Return the shard written as "2/8".

        Raises:
            UserError: the text is not two whole numbers, or the part does not exist.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text) if isinstance(text, str) else None
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UserError("--config: shard", f"is {text!r}", "say which of how many, as in shard=2/8")
        return cls(int(match[1]), int(match[2]))

    def of_cells(self, ids: Iterable[str], model: Callable[[str], str]) -> list[str]:
        """Return the ids of this part, in the given order: every id is in one part, and sizes differ by at most one.

        model: id -> its model. Cells of a model stay together if sizes allow, so that few models are made twice.
        """
        ids = list(ids)
        order = sorted(ids, key=model)  # stable: within a model as they came
        begin, end = ((len(order) * k) // self.of for k in (self.number - 1, self.number))
        mine = set(order[begin:end])
        return [id for id in ids if id in mine]
