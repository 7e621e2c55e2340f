"""Describe a finished run as a Workflow Run RO-Crate: the run and each of its jobs is an action with its files.

The crate's root is the folder of results. The workflow is outside of it, so its files are copied to `workflow/` below
the root; the Snakefile there is the main entity, the scripts are its tools.
Profile: https://w3id.org/ro/wfrun/workflow/0.5, on RO-Crate 1.1.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from pardec.common.files import read_json, sha256

NAME = "ro-crate-metadata.json"
CRATE = "https://w3id.org/ro/crate/1.1"
WORKFLOW = "workflow"
"""Folder of the workflow's files in the crate."""
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
BIOSCHEMAS = "https://bioschemas.org/profiles"
LICENSES = "https://spdx.org/licenses"
ENGINE = "https://snakemake.github.io/"
COMPLETED = "http://schema.org/CompletedActionStatus"
MANY = 20
"""Most files that an action lists itself; beyond that it names a collection, which actions share."""
FORMATS = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".html": "text/html",
    ".tex": "application/x-tex",
    ".py": "text/x-python",
    ".yaml": "application/yaml",
    ".safetensors": "application/octet-stream",
}
DERIVED = (
    "record_study", "record_floors", "tabulate", "collect_values", "collect_trails", "judge_claims", "judge_ideas",
    "draw_figure", "compare_published",
)  # fmt: skip
"""Rules whose files follow from the study and the records, so that they can be made again without measuring."""
ENTRY = ("report.html", "values.json")
"""Formal outputs of the workflow."""

LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"

Block = dict[str, Any]
Entity = dict[str, Any]


def copy_name(path: str) -> str:
    """Return the path of a workflow's file below `workflow/`.

    It is the file's path in letters, digits, dots, dashes and underscores; only its name if the path leads outside. If
    it differs from the path, it contains a part of the path's hash, so that it is unique.
    """
    pure = PurePosixPath(path)
    outside = pure.is_absolute() or ".." in pure.parts
    plain = re.sub(r"[^A-Za-z0-9._/-]", "_", pure.name if outside else pure.as_posix())
    if plain == pure.as_posix():
        return plain
    stem, dot, suffix = plain.rpartition(".")
    mark = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    return f"{stem}-{mark}.{suffix}" if dot else f"{plain}-{mark}"


def read_blocks(sidecars: Iterable[str | Path]) -> list[Block]:
    """Return the provenance of every job, in order of their ends.

    sidecars: provenance files, and files with a block under `provenance`. Outputs are completed: a block inside its own
    file lacks that file's hash, and a sidecar is itself a file of the run.

    Raises:
        UserError: a file is missing or damaged.
    """
    blocks = []
    for path in map(str, sidecars):
        body = read_json(path)
        block = dict(body.get("provenance", body))
        written = [entry for entry in block["outputs"] if entry["path"] != path]
        block["outputs"] = [*written, {"path": path, "sha256": sha256(path)}]
        blocks.append(block)
    return sorted(blocks, key=lambda block: (block["end"], block["outputs"][0]["path"]))


def describe_jobs(blocks: Sequence[Block]) -> dict[str, Any]:
    """Return jobs in order of their ends, and stages in order of the flow of data.

    The form is {"jobs": [{rule, paper: file with its provenance, outputs: paths, start, end}],
    "stages": [{rule, script, after: names of the stages whose outputs it read}], "weights": see `weights_of`,
    "made": {measured or derived: {start of the first job, end of the last, commits}}}.
    """
    makers = {entry["path"]: block["rule"] for block in blocks for entry in block["outputs"]}
    scripts = {block["rule"]: block["command"].split()[1] for block in blocks}
    after: dict[str, set[str]] = {rule: set() for rule in scripts}
    for block in blocks:
        read = {makers[entry["path"]] for entry in block["inputs"] if entry["path"] in makers}
        after[block["rule"]] |= read - {block["rule"]}
    jobs = []
    for block in blocks:
        outputs = [entry["path"] for entry in block["outputs"]]
        kept = {key: block[key] for key in ("rule", "start", "end")}
        jobs.append({"paper": outputs[-1], "outputs": outputs, **kept})
    order = in_order(after)
    return {
        "jobs": jobs,
        "stages": [{"rule": r, "script": scripts[r], "after": sorted(after[r])} for r in order],
        "weights": [weights_of(block) for block in blocks if "recipe" in block],
        "made": {
            "measured": _span(block for block in blocks if block["rule"] not in DERIVED),
            "derived": _span(block for block in blocks if block["rule"] in DERIVED),
        },
    }


def _span(blocks: Iterable[Block]) -> dict[str, Any] | None:
    """Return start, end and commits of jobs; None without any."""
    jobs = list(blocks)
    commits = sorted({version_of(block) for block in jobs})
    when = (
        {"start": min(job["start"] for job in jobs), "end": max(job["end"] for job in jobs)} if jobs else {}
    )
    return {**when, "commits": commits} if jobs else None


def version_of(block: Block) -> str:
    """Return the commit whose code a job ran, and whether files were changed."""
    git = block.get("git") or {}
    return (git.get("commit") or "unknown") + (" and changes" if git.get("dirty") else "")


def weights_of(block: Block) -> dict[str, Any]:
    """Return where a trained model's weights came from: {model, sha256, restored: whether this run took published
    ones; of the job that trained them: who (None for this run), command, machine, commit, end}."""
    origin = block.get("restored") or block
    weights = next(entry["sha256"] for entry in block["outputs"] if entry["path"].endswith(".safetensors"))
    return {
        "model": block["wildcards"]["model"],
        "sha256": weights,
        "restored": "restored" in block,
        "who": origin.get("who"),
        "command": origin["command"],
        "machine": (origin["machine"] or {}).get("cpu"),
        "commit": (origin["git"] or {}).get("commit"),
        "end": origin["end"],
    }


def in_order(after: Mapping[str, Iterable[str]]) -> list[str]:
    """Return names so that each follows those it is `after`; a circle is cut at one link."""
    graph = {name: sorted(before) for name, before in after.items()}
    while True:
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            first, second = error.args[1][:2]
            graph[second].remove(first)


def describe(
    blocks: Sequence[Block], root: str | Path, workflow: Sequence[str], about: Mapping[str, str]
) -> dict[str, Any]:
    """Return the crate's JSON-LD.

    blocks: see `read_blocks`. root: the folder of results, relative to the base of the blocks' paths. workflow: the
    workflow's files, its main file first, with configuration (`.yaml`); copies are at `workflow/<copy_name>`.
    about: `name`, `description`, `license` (an SPDX name), `agent` (who ran it), `engine` (Snakemake's version).
    """
    crate = _Crate(blocks, Path(root), workflow, about)
    crate.build()
    graph = [{key: _plain_list(value) for key, value in one.items()} for one in crate.graph.values()]
    return {"@context": [f"{CRATE}/context", TERMS], "@graph": graph}


class _Crate:
    """The entities of a crate by id; `add` and its callers return a reference to one."""

    def __init__(
        self, blocks: Sequence[Block], root: Path, workflow: Sequence[str], about: Mapping[str, str]
    ):
        self.blocks, self.root, self.workflow, self.about = blocks, root, workflow, about
        self.graph: dict[str, Entity] = {}
        self.known = {
            entry["path"]: entry["sha256"]
            for block in blocks
            for entry in (*block["inputs"], *block["outputs"])
            if "sha256" in entry
        }
        self.copies = {path: f"{WORKFLOW}/{copy_name(path)}" for path in workflow}
        self.version = version_of(blocks[-1])

    def add(self, ident: str, kind: Any, **facts: Any) -> Entity:
        """Return a reference to an entity, which is created once."""
        self.graph.setdefault(ident, {"@id": ident, "@type": kind, **facts})
        return {"@id": ident}

    def build(self) -> None:
        about = self.about
        profiles = [uri for uri in PROFILES if "workflowhub" in uri]
        self.add(
            NAME, "CreativeWork", about={"@id": "./"}, conformsTo=[{"@id": uri} for uri in (CRATE, *profiles)]
        )
        self.agent = self.add("#agent", "Person", name=about["agent"])
        main = self._main()
        configs = [self._file(path) for path in self.workflow if path.endswith((".yaml", ".yml"))]
        actions = [self._action(block, configs) for block in self.blocks]
        execution = self._execution(main, configs)
        self.add(
            "./",
            "Dataset",
            name=about["name"],
            description=about["description"],
            datePublished=self.blocks[-1]["end"],
            author=self.agent,
            license=self.add(f"{LICENSES}/{about['license']}", "CreativeWork", name=about["license"]),
            conformsTo=[
                self.add(uri, "CreativeWork", name=name, version=version)
                for uri, (name, version) in PROFILES.items()
            ],
            mainEntity=main,
            mentions=[execution, *actions, *self._of_type("Collection")],
            hasPart=self._of_type("File"),
        )

    def _of_type(self, kind: str) -> list[Entity]:
        return [{"@id": one["@id"]} for one in self.graph.values() if kind in _listed(one["@type"])]

    def _main(self) -> Entity:
        """Add the Snakefile, with the formal parameters of the whole workflow."""
        main = self._file(self.workflow[0], "SoftwareSourceCode", "ComputationalWorkflow")
        language = self.add(
            LANGUAGE,
            ["ComputerLanguage", "SoftwareApplication"],
            name="Snakemake",
            url=ENGINE,
            version=self.about["engine"],
        )
        self.graph[main["@id"]] |= {
            "name": self.about["name"],
            "conformsTo": self._bioschemas("ComputationalWorkflow"),
            "programmingLanguage": language,
            "version": self.version,
            "hasPart": self._tools(),
            "input": self._parameter("study", "the study's configuration: what is run"),
            "output": [self._parameter(name, f"what the workflow is run for: {name}") for name in ENTRY],
        }
        return main

    def _tools(self) -> list[Entity]:
        """Add the scripts that the jobs ran."""
        tools = {}
        for script in dict.fromkeys(block["command"].split()[1] for block in self.blocks):
            tool = tools[script] = self._file(script, "SoftwareSourceCode")
            self.graph[tool["@id"]] |= {"name": script, "version": self.version}
        return list(tools.values())

    def _bioschemas(self, kind: str) -> Entity:
        uri = f"{BIOSCHEMAS}/{kind}/1.0-RELEASE"
        return self.add(uri, "CreativeWork", name=f"Bioschemas {kind}", version="1.0-RELEASE")

    def _parameter(self, name: str, description: str) -> Entity:
        return self.add(
            f"#parameter/{name}",
            "FormalParameter",
            name=name,
            description=description,
            additionalType="File",
            conformsTo=self._bioschemas("FormalParameter"),
            valueRequired=True,
        )

    def _execution(self, main: Entity, configs: list[Entity]) -> Entity:
        """Add the run of the whole workflow."""
        made = {name: self._file(f"{self.root.as_posix()}/{name}") for name in ENTRY
                if f"{self.root.as_posix()}/{name}" in self.known}  # fmt: skip
        for name, file in [*(("study", config) for config in configs), *made.items()]:
            self.graph[file["@id"]]["exampleOfWork"] = {"@id": f"#parameter/{name}"}
        return self._happened(
            "#execution",
            "CreateAction",
            self.blocks,
            name=f"Run of {self.about['name']}",
            description="All jobs of the workflow whose results lie here; those of earlier calls that were still valid "
            "are among them.",
            instrument=main,
            object=configs,
            result=list(made.values()),
        )

    def _action(self, block: Block, configs: list[Entity]) -> Entity:
        """Add one job. If it read no file, its object is the study, the source of its arguments."""
        tool = self._file(block["command"].split()[1], "SoftwareSourceCode")
        used = [self._file(entry["path"]) for entry in block["inputs"]]
        made = [self._file(entry["path"]) for entry in block["outputs"]]
        of = ", ".join(block["wildcards"].values())
        return self._happened(
            f"#job/{quote(made[0]['@id'], safe='/=,%#')}",
            "CreateAction",
            [block],
            name=f"{block['rule']}: {of}" if of else block["rule"],
            description=block["command"],
            instrument=tool,
            object=(used if len(used) <= MANY else self._collection(used)) or configs,
            result=made,
            environment=self._environment(block),
        )

    def _collection(self, files: list[Entity]) -> Entity:
        ids = sorted(file["@id"] for file in files)
        name = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:12]
        parts = [{"@id": ident} for ident in ids]
        return self.add(f"#files/{name}", "Collection", name=f"{len(ids)} files", hasPart=parts)

    def _environment(self, block: Block) -> list[Entity]:
        """Add the job's environment and machine, as name and value; equal entries are shared."""
        machine, git = block["machine"] or {}, block["git"] or {}
        software = ("python", "torch", "driver", "packages_sha256")
        hardware = ("cpu", "cores", "memory_gb", "governor", "container", "gpu")
        facts = {
            **{name: block["environment"].get(name) for name in software},
            **{name: machine.get(name) for name in hardware},
            "git_commit": git.get("commit"),
            "git_dirty": git.get("dirty"),
            "code_sha256": block["code_sha256"],
            "seed": block["seed"],
        }
        if "restored" in block:
            facts |= {f"weights_{key}": fact for key, fact in weights_of(block).items()}
        lines = {name: _plain(value) for name, value in facts.items() if value is not None}
        return [
            self.add(f"#environment/{name}={quote(line, safe='')}", "PropertyValue", name=name, value=line)
            for name, line in lines.items()
        ]

    def _happened(self, ident: str, kind: str, blocks: Sequence[Block], **facts: Any) -> Entity:
        """Add an action that took from the first start to the last end of `blocks`."""
        when = {
            "startTime": min(block["start"] for block in blocks),
            "endTime": max(block["end"] for block in blocks),
        }
        return self.add(ident, kind, **facts, agent=self.agent, **when, actionStatus=COMPLETED)

    def _file(self, path: str, *types: str) -> Entity:
        """Return the data entity of a file by its path in a block; files outside of the crate are described only."""
        inside = self.copies.get(path)
        if inside is None and Path(path).is_relative_to(self.root):
            inside = Path(path).relative_to(self.root).as_posix()
        ident = quote(inside, safe="/=,+") if inside else f"#outside/{quote(path, safe='/=,+')}"
        if (entity := self.graph.get(ident)) is not None:
            if types and entity["@type"] == ["File"]:
                entity["@type"] = ["File", *types]
            return {"@id": ident}
        exists = os.path.isfile(path)
        form = FORMATS.get(Path(path).suffix, "text/plain" if types or path.endswith(".smk") else None)
        facts = {
            "description": None if inside else "lies outside of the run",
            "sha256": self.known.get(path) or (sha256(path) if exists else None),
            "contentSize": str(os.path.getsize(path)) if inside and exists else None,
            "encodingFormat": form,
        }
        known = {key: value for key, value in facts.items() if value}
        return self.add(ident, ["File" if inside else "CreativeWork", *types], name=path, **known)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _plain_list(value: Any) -> Any:
    """Return the value without a list of one entry, which RO-Crate advises against."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _plain(value: Any) -> str:
    """Return a fact as one line; a GPU by its name."""
    if isinstance(value, Mapping):
        return str(value.get("name", value))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
