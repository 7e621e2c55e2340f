"""Columns of a cell's row, with units and definitions."""

from __future__ import annotations

from pardec.evidence.columns import SOURCES, Column, count, flag, measured, number, size, text
from pardec.evidence.comparison import COLUMNS as COMPARED

WHAT: dict[str, Column] = {
    "cell": text("the cell's id", nullable=False),
    "experiment": text("the question it belongs to", nullable=False),
    "experiment_kind": text("what kind of question that is"),
    "task": text("what is generated", nullable=False),
    "task_label": text("how the page calls it"),
    "data": text("the dataset the prompts come from"),
    "model": text("name of the model", nullable=False),
    "family": text("kind of decoding: autoregressive, masked_diffusion, or what its decoder says"),
    "arm": text("the study's name for decoder and settings"),
    "label": text("how the page calls the arm"),
    "verified": flag(
        "whether the model gave what its authors published before it was timed; empty: not asked"
    ),
    "decoder": text("how tokens are written", nullable=False),
    "steps": count("forward passes set for the whole canvas; empty where the decoder has no such setting"),
    "block": count("tokens of a left-to-right block; empty means the full canvas", "tokens"),
    "settings": text("all settings of the decoder"),
    "engine": text("eager or compiled"),
    "precision": text("number format of weights and activations"),
    "device": text("what the cell ran on"),
    "threads": count("threads of a timed cell"),
    "batch": count("prompts decoded together"),
    "prompt_tokens": count("prompt length; empty means prompts as they are", "tokens"),
    "prompt_mean_tokens": number("tokens", "mean length of the prompts as they were", kind="exact"),
    "new_tokens": count("length of the output canvas", "tokens"),
    "random_prompts": flag("whether random tokens stand in place of the prompts"),
    "run": count("which of several separate runs of one configuration"),
    "tuning": flag("whether its prompts are those that settings are chosen on"),
    "role": text(
        "reference where it is the arm that the experiment's other cells are paired with, else cell"
    ),
    "status": text("ok, oom, timeout, unsupported or failed", nullable=False),
    "reason": text("why it is not ok"),
}

TIME: dict[str, Column] = {
    "n": size("samples behind the measurements (clean ones, where there are any)", "samples", nullable=False),
    "n_all": size("samples taken, flagged ones included", "samples", nullable=False),
    **measured("latency_ms", "ms", "end to end time of one batch generation, median", stem="latency"),
    **measured("ttft_ms", "ms", "time to the first committed token, median", stem="ttft", label="TTFT"),
    **measured(
        "tpot_ms",
        "ms",
        "(E2E - TTFT) / (tokens a row - tokens a row of the first commit), median; E2E / tokens where "
        "one pass commits all",
        stem="tpot",
        label="TPOT",
    ),
    "ttft_block_ms": number("ms", "time until the first left-to-right block is final, median", "n"),
    "itl_p50_ms": number("ms", "gap between consecutive commits, median over all samples", "n", label="ITL"),
    "itl_p95_ms": number(
        "ms", "the same, 95th percentile; empty below 20 gaps", "n", kind="tail", label="ITL, p95"
    ),
    "itl_p99_ms": number(
        "ms", "the same, 99th percentile; empty below 100 gaps", "n", kind="tail", label="ITL, p99"
    ),
    "latency_p95_ms": number(
        "ms",
        "end to end time, 95th percentile; empty below 20 samples",
        "n",
        kind="tail",
        label="latency, p95",
    ),
    "latency_p99_ms": number(
        "ms",
        "end to end time, 99th percentile; empty below 100 samples",
        "n",
        kind="tail",
        label="latency, p99",
    ),
    "prefill_ms": number(
        "ms", "time until the prompt is processed, median; empty where there is no such phase", "n"
    ),
    "host_ms": number("ms", "end to end by the synchronised host clock, median", "n"),
    "cpu_ms": number("ms", "CPU time of the process for one generation, median", "n"),
    **measured(
        "tokens_per_s",
        "tokens/s",
        "useful (pre-EOS) tokens over the whole batch / E2E, median",
        label="throughput",
    ),
    **measured(
        "canvas_tokens_per_s",
        "tokens/s",
        "all canvas tokens over the whole batch / E2E, median",
        label="canvas throughput",
    ),
    "useful_tokens": number("tokens", "tokens before the first end token, mean per output", "n"),
    "nfe": number("passes", "forward passes of the model per batch generation, mean", "n", label="NFE"),
    "tokens_per_forward": number(
        "tokens", "tokens a row committed / forward passes, mean", "n", better="higher", label="TPF"
    ),
    "token_forwards": number("tokens", "positions a row that the forward passes processed, mean", "n"),
}

PAIRED: dict[str, Column] = {
    "reference": text("the cell of the arm that each sample is paired with"),
    "reference_arm": text("the study's name for it"),
    "reference_model": text("its model"),
    "reference_decoder": text("its decoder"),
    "reference_family": text("its kind of decoding"),
    "n_pairs": count("pairs behind the ratios", "pairs"),
    "reference_latency_ms": number(
        "ms", "end to end time of the reference in the same process, median", "n_pairs"
    ),
    **measured(
        "ratio",
        "×",
        "latency of the reference / latency of the cell, medians of pairs; above 1 the cell is faster",
        count="n_pairs",
        better="higher",
        label="speed ratio",
    ),
    **measured(
        "throughput_ratio",
        "×",
        "useful tokens/s of the cell / of the reference, medians of pairs",
        count="n_pairs",
        better="higher",
    ),
    **measured(
        "ratio_geomean",
        "×",
        "geometric mean over prompts of the latency ratio",
        count="n_prompts",
        better="higher",
    ),
    "n_prompts": size("distinct prompts (or batches of prompts) behind it", "prompts"),
    "one_prompt": flag("whether all pairs are of one prompt, so that no interval covers a change of prompts"),
    "ratio_spread": number(
        "", "standard deviation of the logarithm of the pairs' latency ratios", "n_pairs", kind="precision"
    ),
}

MEMORY: dict[str, Column] = {
    "peak_allocated_mb": number("MB", "peak of allocated memory in one generation, weights included"),
    "peak_reserved_mb": number("MB", "peak of reserved memory (on a CPU: peak resident set)"),
    "rss_mb": number("MB", "peak resident set of the process", label="resident set"),
    "weights_mb": number("MB", "parameters and buffers"),
    "cache_mb": number("MB", "keys and values"),
    "logits_mb": number("MB", "logits of one pass"),
    "working_mb": number("MB", "peak allocated less weights"),
    "activations_mb": number("MB", "peak allocated less weights, keys and values, and the logits of a pass"),
    "largest_batch": count(
        "largest batch that fits the device's memory, by bisection", "prompts", kind="memory", better="higher"
    ),
    "memory_method": text("how peaks were taken"),
}

WORK: dict[str, Column] = {
    "flops_per_output": number("FLOP", "counted operations of one batch generation"),
    "bytes_per_output": number("B", "bytes that one batch generation must move"),
    "forwards": count("forward passes counted in it", "passes", kind="count"),
    "flops_agreement": number(
        "×",
        "operations by torch's own counter / ours, over the first pass of each shape; it halves no causal square",
        kind="exact",
    ),
    "joules_per_output": number("J", "energy of one batch generation by the GPU's counter"),
    "net_joules_per_output": number("J", "the same above what the idle GPU takes"),
    "energy_valid": flag("whether the windows were long enough and nothing disturbed them"),
    "intensity": number("FLOP/B", "counted operations a counted byte"),
    "achieved_gflop_per_s": number("GFLOP/s", "counted operations a second"),
    "forward_share": number(
        "",
        "share of the time in the model's passes; empty where the decoder tells of no phases",
        "n",
        kind="share",
    ),
    "sampler_share": number(
        "", "share of the time in choosing and committing tokens; empty likewise", "n", kind="share"
    ),
    "mfu": number(
        "", "counted operations a second / the machine's measured matmul rate", kind="rate", label="MFU"
    ),
    "mbu": number(
        "", "counted bytes a second / the machine's measured copy bandwidth", kind="rate", label="MBU"
    ),
}

QUALITY: dict[str, Column] = {
    **COMPARED,
    "quality_status": text("ok, or why its outputs have no score; empty where none was asked for"),
    "quality_reason": text("what went wrong then"),
    "outputs_agree": flag(
        "every prompt's timed output is the same in all cells that share model, decoder, settings and canvas"
    ),
}

RUN: dict[str, Column] = {
    "flags": text("what the machine's state raised, with counts"),
    "stop_reason": text("precise, budget or maximum"),
    "stop_half_width": number(
        "", "relative half-width of the median's interval when sampling stopped", kind="precision"
    ),
    "compile_ms": number(
        "ms", "compilation and capture, apart from warm-up and samples; empty on the eager engine"
    ),
    "ready_s": number("s", "from start of the job to the first measurable moment", kind="reading"),
    "launch": text("forked or fresh process"),
    "rule": text("the workflow rule that measured it"),
    "command": text("the command that measured it"),
    "code_sha256": text("hash of the code that ran"),
    "git_commit": text("commit of the code"),
    "git_dirty": flag("whether files differed from that commit"),
    "started": text("start of the job"),
    "ended": text("end of the job"),
    "scores": text("where its outputs were scored"),
    **SOURCES,
}

CELL: dict[str, Column] = {**WHAT, **TIME, **PAIRED, **MEMORY, **WORK, **QUALITY, **RUN}
