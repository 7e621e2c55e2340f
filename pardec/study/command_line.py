"""Read the values of `--config key=value ...`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import yaml

from pardec.common.errors import UserError
from pardec.study.checks import Problem
from pardec.study.load import refuse
from pardec.study.yaml_faults import node_faults

SHELL = """; the shell takes one pair of quotes itself: --config 'key="value"'"""


def command_line(entries: Iterable[str]) -> dict[str, Any]:
    """Return the values of `--config key=value ...`, parsed as the YAML of a study's file, and refused like it.

    Raises:
        UserError: an entry has no value, is not YAML, is there twice, or contains what YAML reads otherwise than it
            looks.
    """
    values: dict[str, Any] = {}
    faults: list[Problem] = []
    for entry in entries:
        key, sign, text = entry.partition("=")
        if not sign:
            raise UserError(f"--config {entry}", "has no value", "write key=value")
        where = f"--config: {key}"
        try:
            node, value = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UserError(where, f"is not YAML ({error})", "quote the value") from None
        if key in values:
            faults.append(Problem(where, "is there a second time", "keep one of the two"))
        for fault in node_faults(node, lambda _, place: f"--config: {place}", key):
            faults.append(replace(fault, fix=fault.fix + SHELL if "quote" in fault.fix else fault.fix))
        values[key] = value
    refuse(faults)
    return values
