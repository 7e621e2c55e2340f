"""Slow samplers in plain loops, obviously right: one row, one position, one number at a time, in float64.

They share the fast samplers' random numbers (`pardec.decoding.noise` is tested by itself) and nothing else.
"""

from __future__ import annotations

import math

import torch

from pardec.decoding.noise import gumbel, uniform


def autoregressive(model, prompt: list[int], new_tokens: int, seed: int, settings) -> list[int]:
    """Recompute everything for each token; no cache, no padding, no batch."""
    noise = uniform(torch.tensor([seed]), 0, (new_tokens,))[0].tolist()
    written: list[int] = []
    for step in range(new_tokens):
        if settings.stop == "eos" and model.info.eos_id in written:
            written.append(model.info.eos_id)
            continue
        with torch.no_grad():
            logits = model(torch.tensor([prompt + written]))[0, -1].double().tolist()
        if settings.eos == "ban":
            logits[model.info.eos_id] = -math.inf
        if settings.temperature == 0:
            written.append(max(range(len(logits)), key=lambda word: (logits[word], -word)))
        else:
            written.append(_drawn(logits, settings, noise[step]))
    return written


def truncated_law(logits: list[float], settings) -> dict[int, float]:
    """word -> probability after temperature, top-k and top-p; most probable words first."""
    scaled = [value / settings.temperature for value in logits]
    words = sorted(range(len(scaled)), key=lambda word: (-scaled[word], word))[: settings.top_k]
    weights = {word: math.exp(scaled[word] - max(scaled)) for word in words}
    total = sum(weights.values())
    kept, held = {}, 0.0
    for word in words:
        if kept and held >= settings.top_p:
            break
        kept[word] = weights[word] / total
        held += kept[word]
    return {word: chance / sum(kept.values()) for word, chance in kept.items()}


def _drawn(logits: list[float], settings, number: float) -> int:
    law = truncated_law(logits, settings)
    if settings.top_k is None and settings.top_p >= 1:
        law = dict(sorted(law.items()))
    reached = 0.0
    for word, chance in law.items():
        reached += chance
        if number < reached:
            return word
    return word


def masked_diffusion(model, prompt: list[int], new_tokens: int, seed: int, settings) -> tuple[list[int], int]:
    """The tokens of one row, and the passes of the schedule it took. No padding, no batch, no shared work."""
    mask, eos = model.info.mask_id, model.info.eos_id
    length = settings.block or new_tokens
    blocks = new_tokens // length
    steps = (settings.steps or new_tokens) // blocks
    canvas = [mask] * new_tokens
    passes = 0
    doubts: dict[int, float] = {}
    for block in range(blocks):
        places = range(block * length, (block + 1) * length)
        if settings.after_eos == "fill" and eos in canvas[: block * length]:
            canvas = [eos if token == mask else token for token in canvas]
        due_before = 0
        for step in range(steps):
            if not any(canvas[place] == mask for place in places):
                continue
            passes += 1
            # As many as are due by now, less those that stand; every pass but the last masks some of these again.
            due = sum(length // steps + (1 if k < length % steps else 0) for k in range(step + 1))
            share = (
                due - sum(canvas[place] != mask for place in places) if settings.remask else due - due_before
            )
            due_before = due
            stream = 2 * (block * steps + step)
            logits = _guided(model, prompt, canvas, places, settings.cfg_scale)
            noise = gumbel(torch.tensor([seed]), stream, (length, model.info.vocab_size))[0].tolist()
            order = uniform(torch.tensor([seed]), stream + 1, (length,))[0].tolist()
            result, gaps, edits = [], [], {}
            for row, place in enumerate(places):
                line = _allowed(logits[row], mask, eos, settings)
                if canvas[place] != mask:
                    edits |= _edit(line, place, canvas[place], settings)
                    continue
                second, first = sorted(line)[-2:]
                gaps.append(first - second)
                noisy = [value + settings.temperature * noise[row][word] for word, value in enumerate(line)]
                word = max(range(len(line)), key=lambda word: (noisy[word], -word))
                cost = _surprisal(line, word)
                key = order[row] if settings.remasking == "random" else cost
                if settings.eos == "defer" and word == eos:
                    key, cost = key + 1e30, math.inf
                result.append((key, place, word, cost))
            third = 3 * step // steps
            least = math.inf if settings.early_commit is None else settings.early_commit * (3, 2, 1)[third]
            decided = sum(gaps) / len(gaps) >= least
            for rank, (key, place, word, cost) in enumerate(sorted(result)):
                sure = settings.threshold is not None and (
                    settings.threshold == 0 or cost < -math.log(settings.threshold)
                )
                if rank < share or sure or decided:
                    canvas[place] = word
                    doubts[place] = key
            for place, word in edits.items():
                canvas[place] = word
            if settings.remask and step < steps - 1:
                by_doubt = sorted((-doubts[place], place) for place in places if canvas[place] != mask)
                for _, place in by_doubt[: int(settings.remask * due)]:
                    canvas[place] = mask
        for _ in range(settings.edit_passes):
            passes += 1
            logits = _guided(model, prompt, canvas, places, settings.cfg_scale)
            edits = {}
            for row, place in enumerate(places):
                line = _allowed(logits[row], mask, eos, settings)
                edits |= _edit(line, place, canvas[place], settings)
            for place, word in edits.items():
                canvas[place] = word
            if not edits:
                break
    return canvas, passes


def _allowed(logits, mask, eos, settings) -> list[float]:
    line = list(logits)
    line[mask] = -math.inf
    if settings.eos == "ban":
        line[eos] = -math.inf
    return line


def _edit(line, place, token, settings) -> dict[int, int]:
    """The place and the word that a committed token gives way to, if it does."""
    word = max(range(len(line)), key=lambda word: (line[word], -word))
    sure = settings.edit is not None and math.exp(-_surprisal(line, word)) > settings.edit
    return {place: word} if sure and word != token else {}


def _guided(model, prompt, canvas, places, scale) -> list[list[float]]:
    given = _logits(model, prompt + canvas, len(prompt), places)
    if scale == 0:
        return given
    free = _logits(model, [model.info.mask_id] * len(prompt) + canvas, len(prompt), places)
    return [
        [u + (scale + 1) * (g - u) for g, u in zip(row, other, strict=True)]
        for row, other in zip(given, free, strict=True)
    ]


def _logits(model, tokens, first, places) -> list[list[float]]:
    start, stop = first + places[0], first + places[-1] + 1
    with torch.no_grad():
        return model.denoise(torch.tensor([tokens]), None, start, stop, first)[0].double().tolist()


def _surprisal(line: list[float], word: int) -> float:
    """-log softmax, exact for probabilities that round to 1."""
    others = sum(math.exp(value - line[word]) for index, value in enumerate(line) if index != word)
    return math.log1p(others)
