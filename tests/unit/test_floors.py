"""Imports never go up the floors of the house."""

import ast
import subprocess
import sys
from pathlib import Path

import grimp
import networkx
import pytest

FLOORS = [
    "common",
    "data",
    "models",
    "decoding",
    "measure",
    "quality",
    "study",
    "evidence",
    "report",
    "audit",
    "jobs",
    "cli",
]
HEAVY = ("torch", "transformers", "datasets", "pandas", "matplotlib", "scipy", "pyarrow")


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("pardec")


def test_imports_never_go_up(graph):
    up = [
        f"{importer} imports {imported}"
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if floor(importer) is not None and floor(imported) is not None and floor(imported) > floor(importer)
    ]
    assert not up, "\n".join(up)


def test_the_drawn_floors_are_these():
    page = (Path(__file__).parents[2] / "docs/architecture.md").read_text()
    drawn = page.partition("```\n")[2].partition("\n```")[0].splitlines()
    assert drawn == ["cli, scripts", *[name for name in reversed(FLOORS) if name not in ("jobs", "cli")]]


def floor(module):
    parts = module.split(".")
    return FLOORS.index(parts[1]) if len(parts) > 1 else None


def test_no_two_files_import_each_other():
    """Nor more of them in a ring; imports within functions, of types alone and by name count too."""
    root = Path(__file__).parents[2]
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for path in (root / "pardec").rglob("*.py")
        if path.name != "__init__.py"
    }
    graph = networkx.DiGraph()
    for module, path in files.items():
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy":
                names = [str(node.args[0].value)]
            graph.add_edges_from((module, name) for name in names if name in files and name != module)
    assert [ring for ring in networkx.strongly_connected_components(graph) if len(ring) > 1] == []


def test_decoding_knows_no_clock(graph):
    for module in graph.find_descendants("pardec.decoding"):
        assert not any("measure" in other for other in graph.find_modules_directly_imported_by(module))
        assert (
            "import time" not in Path(module.replace(".", "/") + ".py").read_text()
            if is_file(module)
            else True
        )


def is_file(module):
    return Path(module.replace(".", "/") + ".py").exists()


def test_report_reads_tables_and_values_only(graph):
    for module in graph.find_descendants("pardec.report"):
        for other in graph.find_modules_directly_imported_by(module):
            assert "evidence.record" not in other and ".measure" not in other, f"{module} imports {other}"


def test_reading_a_study_loads_nothing_heavy():
    code = f"""
import sys
from pardec.study.plan import Plan
import pardec.evidence.tables.registry, pardec.report.figures.registry
for name in pardec.evidence.tables.registry.TABLES: pardec.evidence.tables.registry.needs(name)
for name in pardec.report.figures.registry.FIGURES: pardec.report.figures.registry.FIGURES.load(name)
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
