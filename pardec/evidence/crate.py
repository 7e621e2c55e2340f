"""Describe a finished run as a Workflow Run RO-Crate (Provenance Run profile): each job is an action with its files.

The crate's root is the folder of results. The workflow is outside of it, so its files are copied to `workflow/` below
the root; the Snakefile there is the main entity, the scripts are its tools, the rules its steps.
Profile: https://w3id.org/ro/wfrun/provenance/0.5, on RO-Crate 1.1.
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
from pardec.common.lazy import lazy

rocrate = lazy("rocrate.rocrate")
model = lazy("rocrate.model")

NAME = "ro-crate-metadata.json"
VERSION = "1.1"
WORKFLOW = "workflow"
"""Folder of the workflow's files in the crate."""
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
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
ENTRY = ("report.html", "values.json")
"""Formal outputs of the workflow."""

Block = dict[str, Any]


def copy_name(path: str) -> str:
    """Returns the path of a workflow's file below `workflow/`.

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


def read_blocks(papers: Iterable[str | Path]) -> list[Block]:
    """Returns the provenance of every job, in order of their ends.

    papers: sidecars, and files with a block under `provenance`. Outputs are completed: a block inside its own file
    lacks that file's hash, and a sidecar is itself a file of the run.

    Raises:
        UserError: a file is missing or damaged.
    """
    blocks = []
    for path in map(str, papers):
        body = read_json(path)
        block = dict(body.get("provenance", body))
        written = [entry for entry in block["outputs"] if entry["path"] != path]
        block["outputs"] = [*written, {"path": path, "sha256": sha256(path)}]
        blocks.append(block)
    return sorted(blocks, key=lambda block: (block["end"], block["outputs"][0]["path"]))


def describe_jobs(blocks: Sequence[Block]) -> dict[str, Any]:
    """Returns jobs in order of their ends, and stages in order of the flow of data.

    The form is {"jobs": [{rule, paper: file with its provenance, outputs: paths, start, end}],
    "stages": [{rule, script, after: names of the stages whose outputs it read}], "weights": see `weights_of`}.
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
    }


def weights_of(block: Block) -> dict[str, Any]:
    """Returns where a trained model's weights came from: {model, sha256, restored: whether this run took published
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
    """Returns names so that each follows those it is `after`; a circle is cut at one link."""
    graph = {name: sorted(before) for name, before in after.items()}
    while True:
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            first, second = error.args[1][:2]
            graph[second].remove(first)


def describe(
    blocks: Sequence[Block],
    root: str | Path,
    workflow: Sequence[str],
    about: Mapping[str, str],
) -> dict[str, Any]:
    """Returns the crate's JSON-LD.

    blocks: see `read_blocks`. root: the folder of results, relative to the base of the blocks' paths. workflow: the
    workflow's files, its main file first, with configuration (`.yaml`); copies are at `workflow/<copy_name>`.
    about: `name`, `description`, `license` (an SPDX name), `agent` (who ran it), `engine` (Snakemake's version).
    """
    return _Crate(blocks, Path(root), workflow, about).build()


class _Crate:
    def __init__(
        self, blocks: Sequence[Block], root: Path, workflow: Sequence[str], about: Mapping[str, str]
    ):
        self.blocks, self.root, self.workflow, self.about = blocks, root, workflow, about
        self.crate = rocrate.ROCrate(version=VERSION)
        self.added: dict[str, Any] = {}
        self.known = {
            entry["path"]: entry["sha256"]
            for block in blocks
            for entry in (*block["inputs"], *block["outputs"])
            if "sha256" in entry
        }
        self.copies = {path: f"{WORKFLOW}/{copy_name(path)}" for path in workflow}
        self.agent = self._thing("#agent", "Person", name=about["agent"])

    def build(self) -> dict[str, Any]:
        self.crate.metadata.extra_contexts.append(TERMS)
        main = self._main()
        configs = [self._file(path) for path in self.workflow if path.endswith((".yaml", ".yml"))]
        actions = [self._action(block, configs) for block in self.blocks]
        execution = self._execution(main, configs)
        self._steps(main, actions, execution)
        self._root(main, [execution, *actions])
        return _unwrapped(self.crate.metadata.generate())

    def _root(self, main: Any, actions: list[Any]) -> None:
        crate, about = self.crate, self.about
        root = crate.root_dataset
        root["name"], root["description"] = about["name"], about["description"]
        root["datePublished"] = self.blocks[-1]["end"]
        root["author"] = self.agent
        root["license"] = self._thing(f"{LICENSES}/{about['license']}", "CreativeWork", name=about["license"])
        root["conformsTo"] = [
            self._thing(uri, "CreativeWork", name=name, version=version)
            for uri, (name, version) in PROFILES.items()
        ]
        root["mainEntity"] = main
        collections = [entity for entity in crate.get_entities() if entity.type == "Collection"]
        root["mentions"] = [*actions, *collections]
        workflow_crate = [uri for uri in PROFILES if "workflowhub" in uri]
        crate.metadata["conformsTo"] = [{"@id": uri} for uri in (crate.metadata.profile, *workflow_crate)]

    def _main(self) -> Any:
        """Add the Snakefile, with the formal parameters of the whole workflow."""
        language = rocrate.get_lang(self.crate, "snakemake", version=self.about["engine"])
        self.crate.add(language)
        main = self._file(self.workflow[0], "SoftwareSourceCode", "ComputationalWorkflow", "HowTo")
        conforms = self._thing(
            f"{BIOSCHEMAS}/ComputationalWorkflow/1.0-RELEASE",
            "CreativeWork",
            name="Bioschemas ComputationalWorkflow",
            version="1.0-RELEASE",
        )
        study = self._parameter("study", "the study's configuration: what is run", True)
        outputs = [self._parameter(name, f"what the workflow is run for: {name}", True) for name in ENTRY]
        for key, value in {
            "name": self.about["name"],
            "conformsTo": conforms,
            "programmingLanguage": language,
            "version": self._commit(),
            "input": [study],
            "output": outputs,
        }.items():
            main[key] = value
        return main

    def _parameter(self, name: str, description: str, required: bool) -> Any:
        conforms = self._thing(
            f"{BIOSCHEMAS}/FormalParameter/1.0-RELEASE",
            "CreativeWork",
            name="Bioschemas FormalParameter",
            version="1.0-RELEASE",
        )
        return self._thing(
            f"#parameter/{name}",
            "FormalParameter",
            name=name,
            description=description,
            additionalType="File",
            conformsTo=conforms,
            valueRequired=required,
        )

    def _execution(self, main: Any, configs: list[Any]) -> Any:
        """Add the run of the whole workflow."""
        outputs = [path for path in map(self._path_of, ENTRY) if path in self.known]
        for config in configs:
            config["exampleOfWork"] = {"@id": "#parameter/study"}
        for path in outputs:
            name = Path(path).relative_to(self.root).as_posix()
            self._file(path)["exampleOfWork"] = {"@id": f"#parameter/{name}"}
        return self._thing(
            "#execution",
            "CreateAction",
            name=f"Run of {self.about['name']}",
            description="All jobs of the workflow whose results lie here; those of earlier calls that were still valid "
            "are among them.",
            instrument=main,
            object=configs,
            result=[self._file(path) for path in outputs],
            **self._when(self.blocks),
        )

    def _steps(self, main: Any, actions: list[Any], execution: Any) -> None:
        """Add one step per rule, one control action per step, and the engine's action over all of them."""
        rules: dict[str, list[int]] = {}
        for number, block in enumerate(self.blocks):
            rules.setdefault(block["rule"], []).append(number)
        steps, controls = [], []
        for position, (rule, numbers) in enumerate(rules.items(), 1):
            tool = actions[numbers[0]]["instrument"]
            step = self._thing(
                f"#step/{rule}", "HowToStep", name=rule, position=str(position), workExample=tool
            )
            steps.append(step)
            controls.append(
                self._thing(
                    f"#control/{rule}",
                    "ControlAction",
                    name=f"{rule}: {len(numbers)} jobs",
                    instrument=step,
                    object=[actions[number] for number in numbers],
                    **self._when([self.blocks[number] for number in numbers]),
                )
            )
        tools = {actions[numbers[0]]["instrument"].id: None for numbers in rules.values()}
        main["step"] = steps
        main["hasPart"] = [{"@id": tool} for tool in tools]
        engine = self._thing(
            ENGINE, "SoftwareApplication", name="Snakemake", url=ENGINE, softwareVersion=self.about["engine"]
        )
        self._thing(
            "#orchestration",
            "OrganizeAction",
            name=f"Snakemake {self.about['engine']}",
            instrument=engine,
            object=controls,
            result=execution,
            **self._when(self.blocks),
        )

    def _action(self, block: Block, configs: list[Any]) -> Any:
        """Add one job. If it read no file, its object is the study, the source of its arguments."""
        script = block["command"].split()[1]
        tool = self._file(script, "SoftwareSourceCode")
        tool["name"], tool["version"] = script, self._commit()
        used = [self._file(entry["path"]) for entry in block["inputs"]]
        made = [self._file(entry["path"]) for entry in block["outputs"]]
        of = ", ".join(block["wildcards"].values())
        return self._thing(
            f"#job/{quote(made[0].id, safe='/=,%#')}",
            "CreateAction",
            name=f"{block['rule']}: {of}" if of else block["rule"],
            description=block["command"],
            instrument=tool,
            object=(used if len(used) <= MANY else [self._collection(used)]) or configs,
            result=made,
            environment=self._environment(block),
            **self._when([block]),
        )

    def _collection(self, files: list[Any]) -> Any:
        ids = sorted(file.id for file in files)
        name = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:12]
        return self._thing(
            f"#files/{name}",
            "Collection",
            name=f"{len(ids)} files",
            hasPart=[{"@id": ident} for ident in ids],
        )

    def _environment(self, block: Block) -> list[Any]:
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
        return [
            self._thing(
                f"#environment/{name}={quote(_plain(value), safe='')}",
                "PropertyValue",
                name=name,
                value=_plain(value),
            )
            for name, value in facts.items()
            if value is not None
        ]

    def _when(self, blocks: Sequence[Block]) -> dict[str, Any]:
        return {
            "agent": self.agent,
            "startTime": min(block["start"] for block in blocks),
            "endTime": max(block["end"] for block in blocks),
            "actionStatus": COMPLETED,
        }

    def _commit(self) -> str:
        git = self.blocks[-1]["git"] or {}
        return (git.get("commit") or "unknown") + (" and changes" if git.get("dirty") else "")

    def _path_of(self, name: str) -> str:
        return (self.root / name).as_posix()

    def _file(self, path: str, *types: str) -> Any:
        """Returns the data entity of a file by its path in a block; files outside of the crate are described only."""
        inside = self.copies.get(path)
        if inside is None and Path(path).is_relative_to(self.root):
            inside = Path(path).relative_to(self.root).as_posix()
        ident = quote(inside, safe="/=,+") if inside else f"#outside/{quote(path, safe='/=,+')}"
        if (entity := self.added.get(ident)) is not None:
            if types and entity.type == "File":
                entity.properties()["@type"] = ["File", *types]
            return entity
        facts: dict[str, Any] = {"@type": ["File", *types] if types else "File", "name": path}
        if not inside:
            facts = {
                "@type": ["CreativeWork", *types],
                "name": path,
                "description": "lies outside of the run",
            }
        digest = self.known.get(path) or (sha256(path) if os.path.isfile(path) else None)
        if digest:
            facts["sha256"] = digest
        if inside and os.path.isfile(path):
            facts["contentSize"] = str(os.path.getsize(path))
        if form := FORMATS.get(Path(path).suffix, "text/plain" if types or path.endswith(".smk") else None):
            facts["encodingFormat"] = form
        return self._add((model.DataEntity if inside else model.ContextEntity)(self.crate, ident, facts))

    def _thing(self, ident: str, kind: str, **facts: Any) -> Any:
        """Returns a contextual entity, created once per id."""
        entity = self.added.get(ident)
        return entity or self._add(model.ContextEntity(self.crate, ident, {"@type": kind, **facts}))

    def _add(self, entity: Any) -> Any:
        # The library's look-up by id searches all entities.
        self.added[entity.id] = entity
        return self.crate.add(entity)


def _unwrapped(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the entity without lists of one entry, which RO-Crate advises against."""

    def plain(value: Any) -> Any:
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    graph = [{key: plain(value) for key, value in entity.items()} for entity in document["@graph"]]
    return {**document, "@graph": graph}


def _plain(value: Any) -> str:
    """Returns a fact as one line; a GPU by its name."""
    if isinstance(value, Mapping):
        return str(value.get("name", value))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
