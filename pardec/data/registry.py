"""The tasks and the sources of data, by name."""

from __future__ import annotations

from pardec.common.registry import Registry

TASKS = Registry(
    "task",
    {
        "grid": "pardec.data.tasks.grid:Grid",
        "copy": "pardec.data.tasks.copy:Copy",
        "sort": "pardec.data.tasks.sort:Sort",
        "shuffle": "pardec.data.tasks.shuffle:Shuffle",
        "unshuffle": "pardec.data.tasks.unshuffle:Unshuffle",
        "addition": "pardec.data.tasks.addition:Addition",
        "brackets": "pardec.data.tasks.brackets:Brackets",
    },
)

SOURCES = Registry(
    "data source",
    {
        "tasks": "pardec.data.sources.tasks:Tasks",
        "topics": "pardec.data.sources.topics:Topics",
        "fractal": "pardec.data.sources.fractal:Fractal",
        "functions": "pardec.data.sources.functions:Functions",
        "hub": "pardec.data.sources.hub:Hub",
        "path": "pardec.data.sources.path:LocalPath",
        "package": "pardec.data.sources.package:Package",
    },
)
