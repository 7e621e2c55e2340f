"""What cannot be had is refused before any job, all of it in one message with file, line, key and fix."""

import copy

import pytest
import yaml

from pardec.common.errors import UserError
from pardec.study.command_line import command_line
from pardec.study.layers import read_study
from pardec.study.load import load_study
from pardec.study.plan import Plan
from pardec.study.yaml_faults import yaml_faults
from tests.tiny_study import ROOT, model, overlay

BASE = overlay()
GRID = ["experiments", "steps", "grids", 0]
WORK = ["workloads", "w"]
RANDOM = {"source": "random", "vocab_size": 300, "hidden": 32, "layers": 1, "heads": 2, "mlp": 64}
DRAFT = {**model("selector_draft"), "teachers": {"target": "m-ar"}, "init": "m-ar"}
ADAPT = {
    "source": "adapt",
    "base": "b",
    "data": "d",
    "objective": {"family": "block_diffusion", "blocks": [4]},
}
GPT2 = {"source": "random", "shape": "gpt2-large", "layers": 1}


def local(**more):
    return {"source": "path", "path": str(ROOT / "README.md"), "task": "mine", **more}


def refusal(*changes):
    config = copy.deepcopy(BASE)
    for path, value in changes:
        node = config
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value
    with pytest.raises(UserError) as caught:
        load_study(config)
    return str(caught.value)


CHAT = {"source": "path", "path": str(ROOT / "studies/data/chat.jsonl"), "field": "prompt", "task": "mine"}
MODEL = ["workloads", "w", "models", "ar"]
KINDS = {
    "names too long for a path": [
        ([(["models", "m" * 81], {"source": "random"})], ["models", "m" * 81, "at most 80 characters"]),
        ([(["arms", "a" * 81], {"model": "ar", "decoder": "autoregressive"})], ["at most 80 characters"]),
        ([(["name"], "n" * 81)], ["name: is 'nnn", "at most 80 characters"]),
    ],
    "batch above the prompts": [
        ([([*GRID, "batch"], [1, 8])], ["grids.0.batch.1: is 8", "measure.prompts gives 4"]),
        ([([*GRID, "batch"], [4]), ([*GRID, "measure"], {"prompts": 3})], ["is 4", "gives 3"]),
        (
            [([*GRID, "batch"], [16]), (["measure", "prompts"], 64), (["data", "d", "heldout"], 8)],
            ["is 16", "held-out records of data.d gives 8"],
        ),
        (
            [([*GRID, "batch"], [16]), (["measure", "prompts"], 64), (["data", "d"], CHAT)],
            ["is 16", "held-out records of data.d gives 12"],
        ),
    ],
    "metric without what it needs": [
        ([([*WORK, "metrics"], ["exact", "scorer_nll"])], ["w.metrics.1: scorer_nll needs a scorer", "w.scorer"]),
        ([([*WORK, "metrics"], ["encoder_similarity"])], ["encoder_similarity needs an encoder"]),
        ([([*WORK, "encoder"], "/no/such/encoder")], ["w.encoder: there is no folder /no/such/encoder"]),
        ([([*WORK, "metrics"], ["rows"])], ["rows is not a score of task 'copy'", "it has: exact, tokens"]),
        ([([*WORK, "scorer"], "m-diffusion")], ["w.scorer", "bidirectional attention"]),
        (
            [(["data", "d"], local()), ([*WORK, "task"], None)],
            ["exact needs answers, and data.d has none", "answer_field"],
        ),
        (
            [(["data", "d"], local(prompt_words=8)), ([*WORK, "task"], None), ([*WORK, "metrics"], ["items"])],
            ["items is not a score of task 'mine'", "it has: exact"],
        ),
    ],
    "two names of one macro or file": [
        ([(["arms", "one-"], BASE["arms"]["one"])], ["arms.one-: has the LaTeX macro of 'one'", "\\One"]),
        ([(["workloads", "w2"], BASE["workloads"]["w"]), (["workloads", "w-2"], BASE["workloads"]["w"])], ["\\WTwo"]),
        ([(["arms", "grid8"], BASE["arms"]["one"]), (["arms", "grid_8"], BASE["arms"]["one"])], ["\\GridEight"]),
        ([(["models", "M"], BASE["models"]["m-ar"]), (["models", "m"], BASE["models"]["m-ar"])], ["case alone"]),
    ],
    "longer than a model's positions": [
        ([([*WORK, "new_tokens"], 100_000)], ["w.new_tokens", "1 prompt and 100000 new tokens", "positions of 'm-ar'"]),
        ([([*GRID, "new_tokens"], [100_000])], ["grids.0.new_tokens"]),
        (
            [(["models", "m-ar"], {**RANDOM, "family": "autoregressive", "max_positions": 96}),
             ([*GRID, "prompt_tokens"], [90])],
            ["90 prompt and 16 new tokens exceed the 96 positions"],
        ),
    ],
    "a sweep of nothing": [([([*GRID, "sweep"], {"steps": []})], ["grids.0.sweep.steps", "at least 1"])],
    "samples": [
        ([(["measure", "min_samples"], 20), (["measure", "max_samples"], 10)], ["measure.min_samples", "20, above"]),
        ([([*GRID, "measure"], {"min_samples": 7})], ["grids.0.measure.min_samples"]),
        ([([*GRID, "measure"], {"max_samples": 5})], ["grids.0.measure.max_samples"]),
        ([(["measure", "timeout_s"], 1), (["measure", "budget_s"], 5)], ["measure.budget_s: budget_s is 5, not below"]),
        ([([*GRID, "measure"], {"timeout_s": 0.01})], ["grids.0.measure.timeout_s", "not below timeout_s, 0.01"]),
    ],
    "a number that is none": [
        ([(["measure", "budget_s"], float("inf"))], ["measure.budget_s", "finite"]),
        ([(["measure", "timeout_s"], float("nan"))], ["measure.timeout_s"]),
        ([(["job_timeout_s"], float("inf"))], ["job_timeout_s", "finite"]),
        ([(["margins"], {"exact": float("inf")})], ["margins.exact", "finite"]),
        ([([*GRID, "measure"], {"budget_s": float("inf")})], ["grids.0.measure.budget_s"]),
        ([(["arms", "one", "temperature"], float("inf"))], ["arms.one.temperature"]),
    ],
    "model of another kind than its decoder runs": [
        ([([*MODEL], "m-diffusion")], ["arms.one.decoder: autoregressive needs causal attention", "bidirectional"]),
        ([(["arms", "many", "model"], "ar")], ["arms.many.decoder: masked_diffusion needs bidirectional"]),
        ([(["models", "m-ar", "objective"], {"family": "renderer"})], ["cannot run a renderer"]),
        ([(["arms", "many", "decoder"], "table_lookup"), ([*GRID, "sweep"], {})], ["needs a renderer"]),
        ([(["models", "m-ar"], {**GPT2, "quantise": "int8"})], ["m-ar.quantise: is int8", "no quantised form"]),
        (
            [(["models", "m-ar"], GPT2), (["arms", "one", "decoder"], "transformers_generate")],
            ["no form of model 'm-ar'"],
        ),
    ],
    "a draft as an arm's model": [
        ([(["models", "x"], DRAFT), (["workloads", "w", "models", "diffusion"], "x")],
         ["arms.many.model", "'x' of workload 'w' is a draft"]),
    ],
    "a drafter that the draft has not": [
        (
            [(["models", "x"], {**DRAFT, **model("draft"), "init": None}),
             (["workloads", "w", "models", "draft"], "x"),
             (["arms", "many"], {"model": "ar", "decoder": "speculative", "companions": {"draft": "draft"},
                                 "settings": {"drafter": {"name": drafter}}})],
            ["arms.many.settings.drafter", f"{drafter} needs a draft of family {family}", "'x' is of family draft"],
        )
        for drafter, family in (("markov", "markov_draft"), ("selector", "selector_draft"))
    ],
    "a selector without a draft": [
        ([(["models", "x"], {**DRAFT, "init": None})], ["models.x.init: is missing", "family draft"]),
        ([(["models", "x"], DRAFT)], ["models.x.init: is 'm-ar', of family autoregressive"]),
        (
            [(["models", "y"], {**DRAFT, **model("draft")}), (["models", "x"], {**DRAFT, "init": "y"}),
             (["models", "z"], {**DRAFT, **model("markov_draft"), "init": "y"}),
             (["models", "v"], {**DRAFT, "init": "z"})],
            ["models.v.init: is 'z', of family markov_draft"],
        ),
    ],
    "a base that cannot be adapted": [
        ([(["models", "a"], ADAPT), (["models", "b"], base)], ["models.a.base: 'b' " + word, "cannot be adapted"])
        for base, word in (
            (model("masked_diffusion"), "has bidirectional attention"),
            (DRAFT, "is a draft"),
            ({**ADAPT, "base": "m-ar"}, "has block_causal attention"),
            ({**RANDOM, "family": "autoregressive"}, "is drawn from a seed"),
            ({**RANDOM, "family": "autoregressive", "quantise": "int8"}, "is quantised to int8"),
        )
    ],
    "an engine that the device or the precision has not": [
        ([*[(["arms", arm, "engine"], "packed") for arm in ("one", "many")], ([key], value)],
         ["arms.one.engine: packed", "arms.many.engine: packed", word])
        for key, value, word in (
            ("device", "cuda", "is for CPUs"),
            ("device", "mps", "is for CPUs"),
            ("precision", "float16", "has no float16"),
        )
    ]
    + [
        (
            [(["arms", "one"], {"model": "ar", "decoder": "vllm", "engine": "packed"}),
             (["arms", "many", "engine"], "packed")],
            ["arms.one.engine: packed is not for vllm"],
        )
    ],
    "chat where there is no template": [
        ([([*WORK, "prompt_form"], "chat")], ["w.prompt_form: is chat", "'m-ar' brings no chat template"]),
        (
            [([*WORK, "prompt_form"], "chat"), (["models", "m-ar"], {**RANDOM, "family": "autoregressive"})],
            ["no chat template"],
        ),
    ],
    "sweep of a setting that no arm has": [
        ([([*GRID, "sweep"], {"stesp": [1]})], ["grids.0.sweep.stesp", "did you mean 'steps'"]),
        ([([*GRID, "sweep"], {"drafter": [{"name": "ngram"}]})], ["sweep.drafter", "none of the grid's arms"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [pytest.param(*case, id=f"{kind} {n}") for kind, cases in KINDS.items() for n, case in enumerate(cases)],
)
def test_refused_before_any_job(changes, words):
    given = refusal(*changes)
    assert all(word in given for word in words), given
    assert "fix: " in given


def test_all_mistakes_are_told_at_once_with_file_and_line(tmp_path):
    over = overlay() | {"measure": {"min_samples": 20, "max_samples": 10, "prompts": 4}}
    over["experiments"]["steps"]["grids"][0]["batch"] = [8]
    over["workloads"]["w"]["new_tokens"] = 100_000
    over["experiments"]["steps"]["grids"][0]["sweep"] = {"temperature": [0.0]}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(over))
    with pytest.raises(UserError) as caught:
        load_study(over, [str(file)])
    given = str(caught.value)
    assert "4 mistakes" in given and given.count(f"{file}:") == 4, given


def check_refused(file, text, words):
    """The study file with this text is refused by one message with all of `words`."""
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load_study(BASE, [str(file)])
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 1\nname: a\nseed: 2\n", [":3: seed: ", "the first is in line 1"]),
        ("measure:\n  prompts: 3\n  budget_s: 2\n  prompts: 4\n", [":4: measure.prompts: ", "line 2"]),
        ("measure: {prompts: 3, prompts: 4}\n", [":1: measure.prompts: ", "line 1"]),
        ("floors:\n- {workload: w, value: 1, value: 2}\n", [":2: floors.0.value: ", "line 2"]),
        ("a: 1\nb: 1\na: 2\nb: 2\n", ["2 mistakes", ":3: a: ", ":4: b: "]),
    ],
)
def test_a_key_twice_is_refused_with_both_lines(tmp_path, text, words):
    check_refused(tmp_path / "twice.yaml", text, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("threads: 010\n", [":1: threads: is 010", "octal"]),
        ("threads: -07\n", ["octal"]),
        ("workloads:\n  w:\n    new_tokens: 1:30\n", [":3: workloads.w.new_tokens: is 1:30", "base sixty"]),
        ("measure:\n  budget_s: 1e3\n", [":2: measure.budget_s: is 1e3", "as text", "1.0e+3"]),
        ("measure: {budget_s: 1.5E3}\n", ["1.5E3", "as text"]),
        ("threads: 0o10\n", ["0o10", "as text"]),
        ("name: 2024-05-06\n", [":1: name: is 2024-05-06", "a date", "quote it"]),
        ("arms:\n  on: {model: ar}\n", [":2: arms.on: ", "true or false", 'quote it: "on"']),
        ("arms:\n  1.10: {model: ar}\n", [":2: arms.1.10: ", "a number"]),
        ("arms:\n  2024-05-06: {model: ar}\n", [":2: arms.2024-05-06: ", "a date"]),
        ("arms:\n  ~: {model: ar}\n", [":2: arms.~: ", "null"]),
        ("arms: &a\n  mine: *a\n", ["arms.mine: contains itself"]),
        ("a: &a [*a]\nb: 1\nb: 2\n", ["2 mistakes", ":3: b: ", "a.0: contains itself"]),
    ],
)
def test_what_yaml_reads_otherwise_than_it_looks_is_refused(tmp_path, text, words):
    check_refused(tmp_path / "odd.yaml", text, words)


def test_anchors_quotes_and_plain_numbers_are_taken(tmp_path):
    file = tmp_path / "plain.yaml"
    text = "a: &a {b: 1}\nc: {<<: *a, d: 0}\ne: *a\nf: '010'\ng: 0.5\nh: 'on'\n\"on\": 10\n"
    file.write_text(text + "i: '1e3'\nj: 1.0e+3\nk: 0x10\nl: 1_000\nm: 1e3x\n")
    assert list(yaml_faults(file)) == []


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["seed=010"], ["--config: seed: is 010", "octal"]),
        (["measure={budget_s: 1e3}"], ["--config: measure.budget_s: is 1e3", "text", "1.0e+3"]),
        (["seed=1:30"], ["--config: seed: is 1:30", "base sixty"]),
        (["title=2024-05-06"], ["--config: title: is 2024-05-06", "a date", """--config 'key="value"'"""]),
        (["title=2024-99-06"], ["--config: title: is not YAML"]),
        (["seed=0o10", "title=1:30"], ["2 mistakes", "0o10", "1:30"]),
        (["seed=1", "seed=2"], ["--config: seed: is there a second time"]),
        (["measure={prompts: 2, prompts: 3}"], ["--config: measure.prompts: is there a second time"]),
        (["arms={on: null}"], ["--config: arms.on: ", "true or false"]),
        (["only=" + "[" * 1500], ["--config: only: is not YAML"]),
    ],
)
def test_the_command_line_is_refused_where_a_file_would_be(entries, words):
    with pytest.raises(UserError) as caught:
        command_line(entries)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_numbers_and_words_of_the_command_line_are_what_they_look_like():
    entries = ["a=10", "b=0x10", "c=1_000", "d=1.0e+3", "e=yes", "f='010'", "g=1/2", "h=", "i=\ufeffx"]
    right = {"a": 10, "b": 16, "c": 1000, "d": 1000.0, "e": True, "f": "010", "g": "1/2", "h": None, "i": "x"}
    assert command_line(entries) == right


@pytest.mark.parametrize("text", ["name: 2024-99-06\n", "name: " + "[" * 5000], ids=["date", "deep"])
def test_a_value_that_yaml_cannot_make_is_one_message(tmp_path, text):
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(UserError, match="is not a YAML file"):
        read_study(ROOT, [tmp_path / "odd.yaml"])


@pytest.mark.parametrize("start", ["\ufeff", "\ufeff---\n", "\ufeff# mine\r\n"])
def test_a_byte_order_mark_before_a_study_is_no_part_of_it(tmp_path, start):
    (tmp_path / "marked.yaml").write_bytes(f"{start}include: []\nname: mine\n".encode())
    assert read_study(ROOT, [tmp_path / "marked.yaml"])[0] == {"name": "mine"}
    assert list(yaml_faults(tmp_path / "marked.yaml")) == []


def test_a_home_folder_is_expanded_wherever_a_study_names_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text("{}")
    for name in ("prompts.jsonl", "mine.yaml"):
        (tmp_path / name).write_text('{"text": "one", "a": "two"}\n')
    config = copy.deepcopy(BASE)
    config["data"]["mine"] = {"source": "path", "path": "~/prompts.jsonl", "answer_field": "a"}
    config["workloads"]["w"] |= {
        "data": "mine",
        "task": None,
        "encoder": "~/encoder",
        "metrics": ["encoder_similarity"],
    }
    config |= {"claims": ["~/mine.yaml"], "ideas": "~/mine.yaml", "published": "~/published"}
    plan = Plan(config, [], ROOT)
    assert plan.study.data["mine"].path == str(tmp_path / "prompts.jsonl")
    assert next(plan.encoder_files(id) for id in plan.outputs) == [str(tmp_path / "encoder" / "config.json")]
    assert [*plan.claims_files(), plan.ideas_file()] == [str(tmp_path / "mine.yaml")] * 2
    assert plan.published == str(tmp_path / "published")
