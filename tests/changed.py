"""Print the unit tests of what has changed since the branch left main, or since HEAD on main itself: `make test-quick`.

A test belongs to a change if it is changed, imports a changed file directly or through a module of tests, or names it
in its text (scripts, studies, rules, templates).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def changed(root: Path = ROOT) -> list[str]:
    """Return paths that differ from the branch point, untracked ones too."""
    base = git(root, "merge-base", "HEAD", "main") or ["HEAD"]
    listed = git(root, "diff", "--name-only", base[0])
    return sorted({*listed, *git(root, "ls-files", "--others", "--exclude-standard")})


def git(root: Path, *words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.split()


def tests_of(paths: Iterable[str], root: Path = ROOT) -> list[str]:
    """Return the unit tests that belong to changed files."""
    paths = set(paths)
    modules = {path.removesuffix(".py").replace("/", ".") for path in paths if path.endswith(".py")}
    others = {path for path in paths if not path.startswith(("pardec/", "tests/"))}
    # Tests call a script by its name alone, see `tests.script`.
    others |= {f'run_script("{Path(path).stem}"' for path in paths if path.startswith("scripts/")}
    direct = {
        path: imports(path)
        for path in [*(root / "tests").glob("*.py"), *(root / "tests/unit").glob("test_*.py")]
    }
    helpers = {f"tests.{path.stem}": names for path, names in direct.items() if path.parent.name == "tests"}
    chosen = []
    for path in sorted((root / "tests/unit").glob("test_*.py")):
        names = direct[path] | {name for helper in direct[path] for name in helpers.get(helper, ())}
        short = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        if short in paths or names & modules or any(other in text for other in others):
            chosen.append(short)
    return chosen


@cache
def imports(path: Path) -> set[str]:
    """Return the modules that a file of tests imports."""
    from pardec.common.closure import imported

    return {*imported(path.read_bytes(), str(path))}


if __name__ == "__main__":
    print("\n".join(tests_of(changed())))
