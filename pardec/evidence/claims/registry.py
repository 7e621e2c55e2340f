"""Every claim of every seed, and every judge by name.

A new claim is one entry here; a new judge is one line here and one file.
"""

from __future__ import annotations

from pardec.common.registry import Registry
from pardec.evidence.claims.base import Claim

_HERE = "pardec.evidence.claims"

JUDGES = Registry(
    "judge",
    {
        "tradeoff": f"{_HERE}.steps:TRADEOFF",
        "crossover": f"{_HERE}.steps:CROSSOVER",
        "batch": f"{_HERE}.batch:JUDGE",
        "memory": f"{_HERE}.memory:JUDGE",
        "prompts": f"{_HERE}.prompts:JUDGE",
        "clocks": f"{_HERE}.practice:CLOCKS",
        "warm_up": f"{_HERE}.practice:WARM_UP",
        "tiers": f"{_HERE}.practice:TIERS",
        "examples": f"{_HERE}.practice:EXAMPLES",
        "grid_sequential": f"{_HERE}.grid:SEQUENTIAL",
        "grid_passes": f"{_HERE}.grid:PASSES",
        "grid_rate": f"{_HERE}.grid_right:RATE",
        "grid_ten_passes": f"{_HERE}.grid_right:TEN_PASSES",
        "grid_speed": f"{_HERE}.grid:SPEED",
        "grid_sizes": f"{_HERE}.grid_right:SIZES",
        "grid_time": f"{_HERE}.grid:TIME",
        "grid_learned": f"{_HERE}.grid_right:LEARNED",
        "flood_rate": f"{_HERE}.flood:RATE_JUDGE",
        "flood_steps": f"{_HERE}.flood:STEPS",
        "flood_plan_speed": f"{_HERE}.flood:PLAN_SPEED",
        "flood_render_speed": f"{_HERE}.flood:RENDER_SPEED",
        "flood_end_to_end": f"{_HERE}.flood:END_TO_END",
        "flood_candidates": f"{_HERE}.flood:CANDIDATES",
        "flood_shares": f"{_HERE}.flood:SHARES",
        "flood_bottleneck": f"{_HERE}.flood:BOTTLENECK",
        "flood_serial": f"{_HERE}.flood_scale:SERIAL",
        "flood_constant": f"{_HERE}.flood_scale:CONSTANT",
        "flood_tuning": f"{_HERE}.flood_scale:TUNING",
        "flood_more_in_less": f"{_HERE}.flood_scale:MORE_IN_LESS",
        "flood_other_machine": f"{_HERE}.flood_scale:OTHER_MACHINE",
        "fixed_block": f"{_HERE}.draft:FIXED",
        "seeding": f"{_HERE}.draft:SEEDING",
        "collapse": f"{_HERE}.draft:COLLAPSES",
        "cause": f"{_HERE}.draft:CAUSE",
        "ewma": f"{_HERE}.draft:EWMA",
        "break_even": f"{_HERE}.draft:BREAK_EVEN",
        "multi_round": f"{_HERE}.draft:MULTI_ROUND",
        "diversity": f"{_HERE}.draft:DIVERSITY",
        "tree": f"{_HERE}.draft:TREE",
        "tree_lite": f"{_HERE}.draft:TREE_LITE",
        "candidates": f"{_HERE}.draft:CANDIDATES",
        "gated": f"{_HERE}.draft:GATED",
        "selective": f"{_HERE}.draft:SELECTIVE",
    },
)

SEEDS = {
    "000": "Flash Flood at scale",
    "001": "Flash Flood decoder, plan",
    "002": "Flash Flood decoder, results",
    "003": "Drafting ideas",
    "004": "LLaDA against LLaMA 3",
}
"""What each seed is about."""

_GRID = "experiment grid"
_FLOOD = "experiment flood"
_DRAFT = "experiment draft"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "000.1", "Autoregression needs one forward pass a token, so its time is linear in tokens.",
        "forward passes equal tokens; the exponent of time in tokens is near one", "slope and exponent",
        "grid_sequential", waits=_GRID,
    ),
    Claim(
        "000.2", "Parallel refinement needs 5 to 10 forward passes whatever the size.",
        "at most 10 passes at every size, the tables right", "passes against size", judge="grid_passes", waits=_GRID,
    ),
    Claim(
        "000.3", "Autoregression runs at about 50 tokens/s: 20 s for 1,000 tokens (A100, GPT-2 Large or Qwen 1.5B).",
        "that rate on that hardware with those weights", judge="grid_rate", waits=_GRID,
    ),
    Claim(
        "000.4", "Ten passes of about 0.05 s make 0.5 s in all.",
        "those times on that hardware with those weights", judge="grid_ten_passes", waits=_GRID,
    ),
    Claim(
        "000.5", "Parallel refinement is 40 to 100 times faster.", "that ratio", "ratio by size", "grid_speed",
        waits=_GRID,
    ),
    Claim(
        "000.6", "Structured outputs of 64×64 (and 100×100) can be generated so.",
        "exact outputs at those sizes", "correctness by size", judge="grid_sizes", waits=_GRID,
    ),
    Claim(
        "000.7", "The flood's time is a step function of tokens.",
        "an exponent of time near zero up to some size", "exponent of time; where constant time ends",
        "grid_time", waits=_GRID,
    ),
    Claim(
        "000.8", "The constraint i + j is simple enough to be learned.",
        "trained models write it exactly", "exactness of trained models", judge="grid_learned", waits=_GRID,
    ),
    Claim(
        "001.1", "The flood decoder passes 10,000 tokens/s.", "that rate", "the rate, beside its machine",
        judge="flood_rate",
        waits=_FLOOD
    ),
    Claim(
        "001.2", "Looping over roots and chunks serialises everything.",
        "time grows in step with the number of roots", "time against the number of roots",
        judge="flood_serial", waits=_FLOOD,
    ),
    Claim(
        "001.3", "With R=20 roots, C=4 chunks and L=16 characters it takes 2 inference steps instead of 100.",
        "those counts", "counted steps", judge="flood_steps",
        waits=_FLOOD,
    ),
    Claim(
        "001.4", "It is therefore about 50 times faster.", "that ratio at those sizes",
        "ratio, for each meaning of sequential", judge="flood_plan_speed",
        waits=_FLOOD,
    ),
    Claim(
        "001.5", "Choosing the best of K candidates by energy, in parallel, picks better ones.",
        "quality grows with K", "quality against K", judge="flood_candidates",
        waits=_FLOOD,
    ),
    Claim(
        "001.6", "Batch size and K need tuning.", "the best setting lies inside the surface over both",
        "surface over both", judge="flood_tuning", waits=_FLOOD,
    ),
    Claim(
        "002.1", "Rendering goes from 53 to 3,178 characters/s: 60 times faster.", "that ratio", "ratio",
        judge="flood_render_speed",
        waits=_FLOOD
    ),
    Claim(
        "002.2", "End to end goes from 33 to 498 characters/s: 15 times faster.", "that ratio", "ratio",
        judge="flood_end_to_end",
        waits=_FLOOD
    ),
    Claim(
        "002.3", "Rendering in O(N) becomes one batched operation in O(1), given enough parallelism.",
        "an exponent near zero up to some size", "exponent; where it ends",
        judge="flood_constant", waits=_FLOOD,
    ),
    Claim(
        "002.4", "The manager takes 46 %, rendering 23 % and overhead about 30 % of 7.46 s.",
        "those shares", "shares", judge="flood_shares", waits=_FLOOD,
    ),
    Claim(
        "002.5", "The bottleneck moves to the manager.", "the manager's share is the largest",
        "order of the shares", judge="flood_bottleneck",
        waits=_FLOOD,
    ),
    Claim(
        "002.6", "200 roots take 1.69 s against 3.42 s for 50.", "that ratio at those counts",
        "ratio at those counts", judge="flood_more_in_less", waits=_FLOOD,
    ),
    Claim(
        "002.7", "800 tokens/s here extrapolate linearly to 25,000 to 50,000 on an H100.",
        "a model from bandwidth and matmul rate predicts it, or a GPU shows it",
        "modelled from both machines' rates; measured where there is a GPU", judge="flood_other_machine",
        waits=f"{_FLOOD} and a model of the machine; hardware",
    ),
    Claim(
        "003.1", "A fixed block of 16: tau 7.92, TPOT 6.258 ms, 6.44 times faster (10 prompts, A100).",
        "tau and ratio", "tau; ratio with interval", judge="fixed_block", waits=_DRAFT,
    ),
    Claim(
        "003.2", "Sparse seeding gives tau 4.27 and 3.44 times, dense seeding 2.52 and 2.04 times.",
        "none before sparse before dense, with positions right", "order of the three", judge="seeding", waits=_DRAFT,
    ),
    Claim(
        "003.3", "Refining in two steps collapses: tau 1.20, 22.38 tokens/s.",
        "a collapse with the draft cache on too", "tau and ratio, against the control without cache",
        judge="collapse", waits=_DRAFT,
    ),
    Claim(
        "003.4", "It collapses because the draft conditions on itself, off its training distribution.",
        "the control that removes self-conditioning restores tau", "control experiment", judge="cause", waits=_DRAFT,
    ),
    Claim(
        "003.5", "An EWMA scheduler chooses the block size better than a fixed one.",
        "faster than the best fixed block", "ratio to the best fixed block", judge="ewma", waits=_DRAFT,
    ),
    Claim(
        "003.6", "A threshold on tau is not enough: break-even by cycle time is the right objective.",
        "break-even is faster than EWMA and than a threshold", "ratios among the three",
        judge="break_even", waits=_DRAFT,
    ),
    Claim(
        "003.7", "Exact multi-round sampling is right but no gain in throughput.",
        "exact outputs, and no ratio above one when verified in one pass", "exactness; ratio",
        judge="multi_round", waits=_DRAFT,
    ),
    Claim(
        "003.8", "Drafts are single trajectories; more diverse candidates help multi-round sampling.",
        "acceptance grows with diversity", "acceptance by diversity", judge="diversity", waits=_DRAFT,
    ),
    Claim(
        "003.9", "Tree verification raises realised tokens/s, unless the tree is too wide.",
        "a ratio above one at some width and below at a larger", "ratio by width; break-even tau at q = 16, 32, 48",
        judge="tree", waits=_DRAFT,
    ),
    Claim(
        "003.10", "Most rejections come early in the block, so a light tree pays.",
        "acceptance falls early, and the light tree's ratio is above one", "acceptance by position; ratio",
        judge="tree_lite", waits=_DRAFT,
    ),
    Claim(
        "003.11", "Candidate solutions raise tau a little and throughput not at all.",
        "tau rises, the ratio does not", "both", judge="candidates", waits=_DRAFT,
    ),
    Claim(
        "003.12", "A gate on low confidence makes reuse of suffixes safe.",
        "gated reuse is no slower than none", "gated against none", judge="gated", waits=_DRAFT,
    ),
    Claim(
        "003.13", "Refining selected positions is better than rewriting the block.",
        "selective is faster than full", "selective against full", judge="selective", waits=_DRAFT,
    ),
    Claim(
        "004.1", "At about 10 steps diffusion is faster but nonsensical, at about 100 good but slower.",
        "on every task: the fewest steps faster and worse, the most slower and good",
        "quality and latency against steps", "tradeoff", waits="experiment steps",
    ),
    Claim(
        "004.2", "At some number of steps diffusion matches autoregression; is its latency then higher or lower?",
        "on every task: some number of steps passes the quality gate", "crossover with interval, by task",
        "crossover", waits="experiment steps",
    ),
    Claim(
        "004.3", "Diffusion parallelises better with batch: a potential win.",
        "in every series: the throughput ratio grows from the smallest to the largest batch",
        "throughput slopes; crossover batch or none", "batch", waits="experiment batch",
    ),
    Claim(
        "004.4",
        "The autoregressive cache grows linearly with length, attention quadratically without a fused kernel; "
        "how does diffusion's memory grow?",
        "an exponent of the cache in tokens near one", "exponents of memory in length",
        "memory", waits="experiment length",
    ),
    Claim(
        "004.5", "Prompts must be real text: random tokens change memory and computation.",
        "random prompts of the same lengths change latency beyond noise, or peak memory",
        "real against random tokens, paired", "prompts", waits="experiment prompts",
    ),
    Claim(
        "004.6", "Python's clock is not accurate enough on a GPU.",
        "device events and a clock read without synchronising disagree beyond noise",
        "events against host clocks", "clocks", waits="a run on a GPU",
    ),
    Claim(
        "004.7", "Three to five warm-up passes settle allocator and compiler.",
        "after at most five passes a pass takes as long as later ones", "latency by pass", "warm_up",
        waits="recorded warm-up passes",
    ),
    Claim(
        "004.8", "Plain implementations on both sides compare architectures, optimised ones engineering.",
        "the ratio depends on the engine that both sides get", "the same comparison on both engines", "tiers",
        waits="a second engine",
    ),
    Claim(
        "004.9", "The authors' generation examples can be replicated before profiling.",
        "the authors' prompts give the authors' outputs", "on a study with the authors' weights", "examples",
        waits="a study with the authors' weights",
    ),
)  # fmt: skip
