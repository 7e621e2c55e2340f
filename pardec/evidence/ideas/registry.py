"""Every drafting idea. A new one is one entry here, and the arms it names in a study."""

from __future__ import annotations

from pardec.evidence.ideas.base import BASELINE, BEST_FIXED, Idea, Setting

REFERENCE = "ar-stop"
"""The sequential arm that speedups and lossless outputs are held against."""
SAMPLED = "sampled"
"""The baseline of ideas that draw tokens at a temperature."""

IDEAS: tuple[Idea, ...] = (
    Idea(
        "ewma", 1, "EWMA throughput scheduler",
        "Chooses the block of each cycle by the score tau over cycle time, both as running averages, with probes.",
        "Find the fastest block by itself, on every workload, and follow changes within a text.",
        "Probing other blocks costs cycles, and where cycle time hardly grows with the block the largest wins anyway; "
        "so it can only pay where the best block differs between texts or within one.",
        (Setting("ewma", "probes and switches", "ewma-off", BEST_FIXED),),
    ),
    Idea(
        "profile", 2, "Per-cycle profile",
        "Keeps tau, block, acceptance and the time of draft and verification of every cycle.",
        "Show where the time goes, and how acceptance changes along a text.",
        "Stamps are read after the clock has stopped, so that what is profiled is what is timed.",
        (Setting(BASELINE, "the baseline's own cycles"),), instrument=True,
    ),
    Idea(
        "multi-round", 3, "Exact multi-round speculative sampling",
        "At a temperature above zero, offers several candidates at a position in turn, each accepted by its chance and "
        "else taken out of what remains; all are verified in one pass.",
        "Accept more of the draft while the outputs keep the target's distribution exactly.",
        "A second round helps where the first guess is uncertain and the second likely; a wider pass is its price.",
        (Setting("multi-round", "all rounds in one pass", "multi-round-off", SAMPLED),), by_law=True,
    ),
    Idea(
        "recycling", 4, "Suffix recycling",
        "Puts the drafted tokens behind the first rejected one back into the next block as hints for the draft.",
        "Save what was already computed: rejected tokens are often right, only shifted.",
        "The draft was trained with masks there. A hint is right only where one wrong token left the rest intact, and "
        "a wrong hint misleads every position that attends to it.",
        (
            Setting("seed-gated", "only hints the draft was sure of, under a budget", "seed-off"),
            Setting("seed-sparse", "every other position", "seed-sparse-off"),
            Setting("seed-dense", "every position", "seed-dense-off"),
        ),
    ),
    Idea(
        "refinement", 5, "Multi-step refinement",
        "Runs the draft again on its own proposal before the target sees it.",
        "Let later positions see the earlier ones, which one parallel pass cannot.",
        "A second pass costs a draft pass, and the draft never saw its own guesses in training. Without its cache it "
        "would also lose the context, which is another fault than the idea's.",
        (
            Setting("refine-selective", "only positions of low confidence", "refine-off"),
            Setting("refine-full", "the whole block", "refine-full-off"),
            Setting("refine-no-cache", "the whole block, without the draft's cache, as the seed ran it",
                    "refine-full-off"),
        ),
    ),
    Idea(
        "break-even", 6, "Break-even scheduler",
        "Moves to the next block size when the tokens it would add outweigh the time it would add, both measured.",
        "Choose the block by what it earns, where a threshold on tau cannot see the cost.",
        "It needs the same knowledge as the running score and fewer probes; where cycles of all sizes cost nearly the "
        "same both choose alike.",
        (Setting("break-even", "measured marginal cost", "break-even-off", BEST_FIXED),
         Setting("threshold", "a threshold on tau instead", "threshold-off", BEST_FIXED)),
    ),
    Idea(
        "diversity", 7, "Candidate diversity for multi-round",
        "Takes the candidates of several rounds from different distributions instead of one.",
        "Give later rounds something new to offer.",
        "The second most likely token of one distribution is already the best second guess if the draft is right about "
        "its own doubt; other sources help only where it is not.",
        (
            Setting("diverse-branch", "the branches of the draft's own marginals", "multi-round-off", "multi-round"),
            Setting("diverse-temperature", "a higher temperature", "multi-round-off", "multi-round"),
            Setting("diverse-top-k", "the most likely tokens only", "multi-round-off", "multi-round"),
            Setting("diverse-dropout", "draft passes with dropout", "multi-round-off", "multi-round"),
        ), by_law=True,
    ),
    Idea(
        "tree", 8, "Tree verification",
        "Packs several candidates in a trie and verifies it in one pass of the target in which a token attends to its "
        "ancestors only.",
        "Accept more tokens a pass, at little more time a pass.",
        "What a pass costs with more tokens in it decides; that cost is measured below.",
        (
            Setting("tree", "best-first on the draft's marginals, under a budget", "tree-off"),
            Setting("tree-candidates", "whole candidates in a trie", "candidates-off"),
            Setting("tree-wide", "a wide tree", "tree-off"),
        ),
    ),
    Idea(
        "tree-lite", 9, "Tree-lite",
        "Block eight, the two likeliest tokens at each of the first positions.",
        "Catch the rejections at the first positions, where most are said to be.",
        "It pays if the second choice is right often enough at the positions that fail, and few nodes are added.",
        (
            Setting("tree-lite", "one draft pass", "tree-lite-off"),
            Setting("tree-lite-refined", "and one cheap refinement of the chosen branch", "tree-lite-off"),
        ),
    ),
    Idea(
        "candidates", 10, "Candidate-solution generator",
        "Makes a bounded set of whole blocks from the likeliest tokens at uncertain positions and keeps the best.",
        "Show whether candidates accept more, before any packing.",
        "Verifying them one after another multiplies the target's passes; packed they share one.",
        (
            Setting("candidates", "packed in one pass", "candidates-off"),
            Setting("candidates-sequential", "one pass a candidate, as the seed's testbed", "candidates-off"),
        ),
    ),
    Idea(
        "confidence", 11, "Confidence-ranked branching",
        "Branches where the draft is least sure, wherever that is in the block.",
        "Spend nodes where they are needed, not at fixed positions.",
        "It can only help where the draft's doubt is well placed, and a rejection before the branch wastes it.",
        (Setting("confidence", "by the draft's margins", "confidence-off"),),
    ),
    Idea(
        "rank-suffix", 12, "Fixed prefix, ranked suffixes",
        "Keeps the first part of the draft fixed and offers several continuations.",
        "Extend blocks that usually hold to their middle.",
        "It helps where the prefix is nearly always right and the suffix is open.",
        (Setting("rank-suffix", "suffixes by rank", "rank-suffix-off"),),
    ),
    Idea(
        "eos", 13, "EOS-aware truncation",
        "Ends the block at a drafted end token.",
        "Save the work behind the end of an answer.",
        "It can only act in the last cycle, so it shows on short answers and on long ones hardly at all.",
        (Setting("eos-aware", "cut at the first end token", "eos-off"),),
    ),
    Idea(
        "adaptive", 14, "Adaptive draft length",
        "Cuts the draft where its own confidence falls.",
        "Verify fewer tokens that would be rejected.",
        "Fewer tokens in a pass save time only where a pass is sensitive to them.",
        (Setting("adaptive", "by confidence", "adaptive-off", BEST_FIXED),),
    ),
)  # fmt: skip

BY_ID = {idea.id: idea for idea in IDEAS}
