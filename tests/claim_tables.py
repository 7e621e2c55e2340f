"""Rows of tables that let each claim come out one way or another."""

from __future__ import annotations

from tests.claim_rows import row


def ci(low, high, name="ratio"):
    """A number in the middle of its interval."""
    return {name: (low + high) / 2, f"{name}_low": low, f"{name}_high": high}


def grid(new=64, **more):
    base = {
        "arm": "jacobi",
        "decoder": "jacobi",
        "role": "cell",
        "model": "ar",
        "status": "ok",
        "batch": 1,
        "nfe": 3,
    }
    side = int(new**0.5)
    return row(
        "grid",
        **{**base, "new_tokens": new, "side": side, "latency_ms": 5.0, "canvas_tokens_per_s": 9.0, **more},
    )


def grown(**more):
    base = {
        "experiment_kind": "grid",
        "arm": "ar",
        "series": "ar",
        "chosen": "same settings",
        "span": "all",
        "quantity": "latency_ms",
        "against": "new_tokens",
        "decoder": "autoregressive",
        "slope": 1.0,
        "constant_to": 64,
    }
    return row("growth", **{**base, **more})


def sequential(passes, low, high, first=None):
    cells = [
        grid(n, arm="ar", decoder="autoregressive", role="reference", nfe=passes or n) for n in (64, 256)
    ]
    return {"grid": cells, "growth": local(low, high, first)}


def local(low, high, first=None, **more):
    """Growth over all of three sizes, between the two largest, and between the two smallest."""
    spans = [
        {"span": "all", "n": 3, "from_x": 16, **ci(low, high, "exponent")},
        {"span": "64 to 256", "n": 2, "from_x": 64, **ci(low, high, "exponent")},
        {"span": "16 to 64", "n": 2, "from_x": 16, **ci(*(first or (low, high)), "exponent")},
    ]
    return [grown(**{**span, **more}) for span in spans]


def sizes(*cells):
    """Return (tokens, passes, right) of one arm."""
    return {"grid": [grid(n, nfe=passes, right=right, steps=k) for k, (n, passes, right) in enumerate(cells)]}


def scored(*shares, **more):
    """Return (share of cells, share of tables) right, at 8×8, 64×64 and so on."""
    places = (64, 4096, 9216)
    return {"grid": [
        grid(places[k], cells_right=cells, grids_right=tables, right=cells >= 0.99, **more)
        for k, (cells, tables) in enumerate(shares)
    ]}  # fmt: skip


def speeds(*ratios, right=True):
    return {"grid": [grid(n, right=right, **ci(*ratio)) for n, ratio in zip((64, 256), ratios, strict=False)]}


def step(constant, low, high):
    fits = {
        "arm": "jacobi",
        "decoder": "jacobi",
        "chosen": "fewest that are right",
        "constant_throughout": constant,
    }
    return {"grid": [grid()], "growth": [grown(**fits, **ci(low, high, "exponent"))]}


def flood(**more):
    base = {
        "status": "ok", "order": "parallel", "decoder": "flash_flood", "plan": "given", "candidates": 1, "roots": 20,
        "chunks": 60, "nfe": 2.0, "reference_order": "by_root", "device": "cpu", "manager": "autoregressive",
        "latency_ms": 5.0, "characters_per_s": 9.0, "new_tokens": 160,
    }  # fmt: skip
    return row("flood", **{**base, **more})


def floods(*changes):
    return {"flood": [flood(**change) for change in changes]}


def candidates(share, low, high):
    """One candidate and four, with so much right and so much gained."""
    more = ci(low, high, "level1_gain") | {"candidates": 4, "gain_margin": 0.05}
    return floods(ci(share, share, "level1"), ci(share, share, "level1") | more)


def roots(low, high, **more):
    base = {
        "experiment_kind": "flood",
        "against": "roots",
        "candidates": 1,
        "series": "by_root K=1",
        "from_x": 20,
        "constant_to": 20,
    }
    return {
        "flood": [flood()],
        "growth": local(low, high, **{**base, **more}),
    }


def surface(middle, share):
    """Latency with a limit between the ends, and chunks right with four candidates, where one writes 0.9 right."""
    passes = [
        {
            "chunk_batch": limit,
            "roots": 50,
            "latency_ms": ms,
            "latency_low": ms - 0.1,
            "latency_high": ms + 0.1,
        }
        for limit, ms in ((16, 9.0), (64, middle), (None, 8.0))
    ]
    chosen = [
        {"candidates": k, "roots": 200, **ci(s - 0.01, s + 0.01, "level1")}
        for k, s in ((1, 0.9), (4, share), (16, 0.9))
    ]
    return floods(*passes, *chosen)


def shares(manager, render, overhead):
    parts = {"level0_share": render, "level1_share": 0.0, "transfer_share": 0.0, "other_share": overhead}
    named = {"manager_share": manager, "render_share": render, "overhead_share": overhead}
    return floods({"plan": "manager", **parts, **named})


def pair(low, high):
    """200 roots in parallel and 50 root by root, with the published ratio of their times."""
    ident = "finding/flood/more-in-less/k=1"
    value = {"value": (low + high) / 2, "ci_low": low, "ci_high": high, "unit": "×"}
    return floods({"roots": 200}, {"roots": 50, "order": "by_root"}), {ident: value}


def idea(name, setting, low, high, arm=None, **more):
    base = {
        "idea": name, "setting": setting, "arm": arm or f"{name}-{setting}", "words": setting, "deciding": True,
        "prompts": 32, "lossless": True, "control": True, "fell_back": False, "margin": 0.03,
        "speed_status": "inconclusive", "tau_status": "inconclusive",
    }  # fmt: skip
    return row("ideas", **base | ci(low, high) | more)


def tau(low, high):
    return ci(low, high, "tau_ratio")


def ideas(*rows, **tables):
    return {"ideas": list(rows), **tables}


def refined(full, bare):
    cached = idea("refinement", "full", 0.8, 0.9, **tau(*full))
    return ideas(cached, idea("refinement", "no-cache", 0.2, 0.3, **tau(*bare)))


def rivals(ours, ewma, threshold):
    rows = [idea("break-even", "break-even", *ours), idea("ewma", "scheduler", *ewma)]
    return ideas(*rows, *([idea("break-even", "threshold", *threshold, deciding=False)] if threshold else []))


def positions(early, late, low, high):
    lines = [
        row("cycles", arm="plain", task="sort", position=p, share=share, acceptance=0.5)
        for p, share in ((1, early), (2, late), (3, 0.2))
    ]
    profile = row("ideas", idea="profile", setting="baseline", arm="plain")
    return ideas(idea("tree-lite", "plain", low, high), profile, cycles=lines)


def trees(narrow, wide):
    return ideas(idea("tree", "tree", *narrow), idea("tree", "wide", *wide, deciding=False))


def sources(*cases):
    """Return (interval of the tau ratio, verdict on tau)."""
    return ideas(*(
        idea("diversity", f"s{k}", 0.9, 1.0, **tau(*interval), tau_status=status)
        for k, (interval, status) in enumerate(cases)
    ))  # fmt: skip
