"""Outputs and scores have endings as cells do: whatever fails leaves a status, a reason that names the side, and the
rest of the report."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from pardec.common.files import read_json, read_jsonl, write_jsonl
from pardec.decoding.base import Decoded
from pardec.evidence.tables.inputs import Inputs, read_scores, read_source
from pardec.evidence.tables.registry import TABLES
from pardec.quality.base import Context
from pardec.quality.generate import Writer
from pardec.quality.score import score_outputs
from tests.faults import arms

SET = "results/quality/t/m/arm/new~6"


def script(folder, name, *words):
    command = [sys.executable, str(arms.ROOT / f"scripts/{name}.py"), *map(str, words)]
    env = {"PYTHONPATH": str(arms.ROOT), "PARDEC_LAUNCH": "fresh", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, env=env)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stdout


def run(folder, decoder, prompts, metrics="exact", causal=True, **options):
    """Return outputs, score and rows of table `quality` of an arm on prompts, by the project's own scripts."""
    arms.write_model(folder / "m", causal)
    write_jsonl(folder / "data" / "heldout.jsonl", prompts)
    words = ["--model", "m", "--arm", "arm", "--decoder", decoder, "--data", "data", "--workload", "w"]
    words += ["--new-tokens", 6, "--prompts", len(prompts), "--device", "cpu", "--seed", 1]
    words += ["--settings", json.dumps(options.pop("settings", {})), "--out", f"{SET}/outputs.jsonl"]
    script(folder, "generate_outputs", *words)
    scoring = [word for key, value in options.items() for word in (f"--{key}", value)]
    files = ("--outputs", f"{SET}/outputs.jsonl", "--out", f"{SET}/score.json")
    line = script(folder, "score_cell", *files, "--metrics", metrics, *scoring)
    scores = read_scores([folder / SET / "score.json"])
    rows = TABLES.load("quality").make(Inputs(scores=scores)).to_dict("records")
    return read_jsonl(folder / SET / "outputs.jsonl"), read_json(folder / SET / "score.json"), rows, line


def test_a_library_that_is_not_installed_is_a_row_with_its_reason(tmp_path):
    pytest.importorskip("pardec.decoding.vllm_generate")
    outputs, score, (row,), line = run(tmp_path, "vllm", arms.prompts(4))
    assert {(output["status"], output["text"]) for output in outputs} == {("unsupported", None)}
    assert score["status"] == "unsupported" and "vLLM is not installed" in score["reason"]
    assert score["metrics"] == {} and len(score["lost"]) == 4 and "vLLM is not installed" in line
    assert (row["status"], row["metric"], row["lost"]) == ("unsupported", "exact", 4)
    assert "vLLM is not installed" in row["reason"]


def test_a_model_that_the_decoder_cannot_run_is_a_row_with_its_reason(tmp_path):
    _, score, (row,), _ = run(tmp_path, "masked_diffusion", arms.prompts(3), settings={"steps": 2})
    assert score["status"] == row["status"] == "unsupported" and "needs bidirectional" in row["reason"]


def test_one_prompt_too_long_is_skipped_counted_and_named(tmp_path):
    prompts = arms.prompts(4, (3, 3, 200, 3))
    outputs, score, (row,), line = run(tmp_path, "autoregressive", prompts)
    (long,) = [output for output in outputs if output.get("status", "ok") != "ok"]
    assert long["id"] == "p2" and long["status"] == "too_long"
    assert long["reason"].endswith("new tokens exceed the 128 positions of the model")
    assert (
        score["status"] == "ok"
        and {*score["prompts"]} == {"p0", "p1", "p3"}
        and "1 without an output" in line
    )
    assert [lost["id"] for lost in score["lost"]] == ["p2"]
    assert (row["status"], row["n"], row["lost"], row["batch_checked"], row["batch_differs"]) == (
        "ok",
        3,
        1,
        2,
        0,
    )


def test_all_prompts_too_long_is_the_status_of_the_set(tmp_path):
    _, score, (row,), _ = run(tmp_path, "autoregressive", arms.prompts(2, (200,)))
    assert score["status"] == row["status"] == "too_long" and row["lost"] == 2


def test_a_scorer_that_cannot_be_loaded_costs_its_metric_and_no_other(tmp_path):
    (tmp_path / "scorer").mkdir()
    (tmp_path / "scorer" / "config.json").write_text("{")
    _, score, rows, _ = run(tmp_path, "autoregressive", arms.prompts(3), "exact,scorer_nll", scorer="scorer")
    by_name = {row["metric"]: row for row in rows}
    assert by_name["exact"]["status"] == score["status"] == "ok" and by_name["exact"]["n"] == 3
    assert by_name["scorer_nll"]["status"] != "ok" and "in the scorer" in by_name["scorer_nll"]["reason"]
    assert score["metrics"]["scorer_nll"]["per_prompt"] == [None] * 3


def likelihood(folder, prompts):
    write_jsonl(folder / "data" / "heldout.jsonl", prompts)
    (folder / "data" / "about.json").write_text('{"answers_end": true}')
    words = ["--model", "m", "--data", "data", "--prompts", len(prompts), "--samples", 2, "--seed", 1]
    script(folder, "measure_likelihood", *words, "--out", "results/likelihood/m.json")
    source = read_source(folder / "results/likelihood/m.json")
    (row,) = TABLES.load("likelihood").make(Inputs(likelihoods=(source,))).to_dict("records")
    return source.body, row


def test_likelihood_leaves_out_a_record_that_is_too_long(tmp_path):
    arms.write_model(tmp_path / "m", True)
    body, row = likelihood(tmp_path, arms.prompts(4, (3, 3, 200, 3)))
    assert (body["status"], body["n"], body["lost"]) == ("ok", 3, ["p2"])
    assert (row["status"], row["kind"], row["lost"]) == ("ok", "exact", 1)
    body, row = likelihood(tmp_path, arms.prompts(2, (200,)))
    assert row["status"] == "unsupported" and "no record fits the 128 positions" in row["reason"]
    assert body["nats_per_token"] is None and body["n"] == 0


class Decoder:
    """Repeats the last token of a prompt; misbehaves as told."""

    def __init__(self, trouble=lambda batch: None, shift=lambda batch: 0):
        self.trouble, self.shift, self.calls = trouble, shift, 0

    def decode(self, model, batch, new_tokens):
        self.calls += 1
        error = self.trouble(batch)
        if error is not None:
            raise error
        tokens = batch.tokens[:, -1:].repeat(1, new_tokens) + self.shift(batch)
        return Decoded(tokens, torch.full((batch.size,), new_tokens), new_tokens, 0)

    def check_outputs(self, model, batch):
        return None


def written(decoder, count=20, precision="float32"):
    tokenizer = SimpleNamespace(decode=lambda tokens, prompt=None: str(tokens))
    model = SimpleNamespace(info=SimpleNamespace(pad_id=0, max_positions=64))
    writer = Writer(model, decoder, tokenizer, "cpu", 3, lambda ident: 0)
    prompts = [{"id": f"p{k}", "task": "t", "prompt": str(k), "answer": "a"} for k in range(count)]
    return writer.write(prompts, [[1, k + 2] for k in range(count)], precision)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("no such luck"), "failed"),
        (torch.OutOfMemoryError("CUDA out of memory"), "oom"),
        (RuntimeError("can't allocate memory"), "oom"),
        (IndexError("index out of range in self"), "failed"),
    ],
)
def test_a_bad_prompt_costs_itself_alone(error, status):
    rows = written(Decoder(lambda batch: error if 9 in batch.tokens[:, -1].tolist() else None))
    assert [k for k, row in enumerate(rows) if "status" in row] == [7]
    assert rows[7]["status"] == status and str(error) in rows[7]["reason"] and rows[7]["tokens"] == []
    assert [row["id"] for row in rows] == [f"p{k}" for k in range(20)]


def test_a_batch_that_does_not_fit_is_written_row_by_row():
    big = torch.OutOfMemoryError("CUDA out of memory")
    assert not any("status" in row for row in written(Decoder(lambda batch: big if batch.size > 1 else None)))


def test_what_is_not_implemented_is_not_tried_again():
    decoder = Decoder(lambda batch: NotImplementedError("not for this model"))
    rows = written(decoder, count=50)
    assert decoder.calls == 1 and {row["status"] for row in rows} == {"unsupported"} and len(rows) == 50


@pytest.mark.parametrize(("precision", "checked"), [("float32", 2), ("bfloat16", 8)])
def test_outputs_that_depend_on_the_batch_are_counted(precision, checked):
    rows = written(
        Decoder(shift=lambda batch: int(batch.size > 1 and batch.tokens[0, -1] == 2)), precision=precision
    )
    score = score_outputs(rows, ["distinct_1"], Context())
    assert (score["batch_checked"], score["batch_differs"]) == (checked, checked)
    same = score_outputs(written(Decoder(), precision=precision), ["distinct_1"], Context())
    assert (same["batch_checked"], same["batch_differs"]) == (checked, 0)


def spoil(folder, value=float("nan")):
    """Put NaN into the last weight of the model in `folder`."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"][-1] = value
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize("decoder", ["autoregressive", "transformers_generate"])
def test_outputs_of_logits_that_are_no_numbers_have_no_score(tmp_path, monkeypatch, decoder):
    """Their largest is a token like any other, and a score of 0 would say that the model is bad."""
    write = arms.write_model
    monkeypatch.setattr(arms, "write_model", lambda folder, causal: (write(folder, causal), spoil(folder)))
    outputs, score, (row,), _ = run(tmp_path, decoder, arms.prompts(3))
    assert {output["status"] for output in outputs} == {"failed"} and score["metrics"] == {}
    assert score["status"] == row["status"] == "failed" and "logits are NaN" in row["reason"]


def test_one_prompt_whose_logits_are_no_numbers_costs_itself_alone(tmp_path):
    class Reads(torch.nn.Module):
        info = SimpleNamespace(pad_id=0)

        def forward(self, tokens):
            return torch.where((tokens == 7).any(-1, keepdim=True), torch.nan, 1.0)

    def decode(model, batch, new_tokens):
        model(batch.tokens)
        zeros = torch.zeros(len(batch.tokens), new_tokens, dtype=torch.long)
        return Decoded(zeros, zeros[:, 0], 1, 1)

    decoder = SimpleNamespace(decode=decode, check_outputs=lambda model, batch: None)
    tokenizer = SimpleNamespace(decode=lambda tokens, prompt: "text")
    writer = Writer(Reads(), decoder, tokenizer, "cpu", 3, lambda name: 1)
    rows = writer.write([{"id": str(k)} for k in range(3)], [[1, 2], [7], [3]], "float32")
    assert [row.get("status", "ok") for row in rows] == ["ok", "failed", "ok"]
    assert "logits are NaN" in rows[1]["reason"]


def test_a_scorer_whose_logits_are_no_numbers_gives_no_value_and_the_others_stay(tmp_path):
    arms.write_model(tmp_path / "nan", True)
    spoil(tmp_path / "nan")
    _, score, rows, _ = run(tmp_path, "autoregressive", arms.prompts(3), "exact,scorer_nll", scorer="nan")
    assert score["status"] == "ok" and score["metrics"]["exact"]["value"] is not None
    lost = score["metrics"]["scorer_nll"]
    assert (lost["value"], lost["status"]) == (None, "failed") and "values are not finite" in lost["reason"]
    assert [row["status"] for row in rows] == ["ok", "failed"]


def test_a_likelihood_of_logits_that_are_no_numbers_is_a_row_with_its_reason(tmp_path):
    spoil(arms.write_model(tmp_path / "m", True))
    write_jsonl(tmp_path / "data" / "heldout.jsonl", arms.prompts(3))
    (tmp_path / "data" / "about.json").write_text('{"answers_end": true}')
    words = ["--model", "m", "--data", "data", "--prompts", 3, "--samples", 2, "--seed", 1, "--device", "cpu"]
    script(tmp_path, "measure_likelihood", *words, "--out", "likelihood.json")
    body = read_json(tmp_path / "likelihood.json")
    assert body["status"] == "failed" and "likelihoods are not finite" in body["reason"]
