"""Random small models, settings and prompts: exact decoders write the autoregressive decoder's tokens, batches write
what single rows write, and `useful` is what a slow count gives.

PARDEC_DRAWS sets how many cases are drawn (100); PARDEC_DRAW runs one of them by its number.
"""

from __future__ import annotations

import os
import random
import traceback
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from pardec.common.errors import UserError
from pardec.decoding.base import Observer
from pardec.decoding.batching import pad_left
from pardec.decoding.registry import DECODERS
from pardec.decoding.speculative.registry import KINDS, OPTIONAL, PROPOSALS
from pardec.models.architectures.config import Stretch
from pardec.models.architectures.gpt2 import GPT2, GPT2Config
from tests.reference.drafts import draft_model, plain, speculate, with_head, with_selector
from tests.reference.models import WORDS, backbone

DRAWS = int(os.environ.get("PARDEC_DRAWS", 100))
ONE = os.environ.get("PARDEC_DRAW")
CHUNKS = 5
CAUSAL = ("jacobi", "autoregressive", "full_passes", "transformers_generate", "transformers_continuous")
BIDIRECTIONAL = ("masked_diffusion", "cached_diffusion")
ELSEWHERE = {
    "vllm": "is not installed everywhere; tests/unit/test_decoding_peers.py pretends that it is",
    "flash_flood": "renders another kind of model; tests/unit/test_decoding_flash_flood.py draws its own",
    "table_lookup": "runs no model",
}
"""Decoders that are not drawn, and why."""
SLOW = ("transformers_continuous",)
"""Decoders that start threads of another library, drawn once in a hundred cases."""


class Case:
    """One draw: a target, a decoder with settings, and prompts."""

    def __init__(self, number: int):
        self.number, self.random = number, random.Random(number)
        pick, chance = self.random.choice, self.random.random
        self.causal = chance() < 0.75
        self.blocks = not self.causal and chance() < 0.4
        words = pick([13, 23, 40])
        tokens = self.random.sample(range(2, words), 4)
        eos = pick([None, tokens[0], tokens[0]])
        self.ends = {"eos_id": eos, "stop_ids": tuple(tokens[1 : 1 + pick([0, 0, 1, 2])])}
        # Padding with an ordinary token, with the end token, or with one that prompts hold.
        pad = pick([0, 0, tokens[0], self.random.randrange(words)])
        self.new = self.random.randint(1, 24)
        longest = pick([1, 5, 12])
        rows = pick([1, 1, 2, 3, 5])
        self.prompts = [
            [self.random.randrange(1, words) for _ in range(self.random.randint(1, longest))]
            for _ in range(rows)
        ]
        # Often no position more than the text needs.
        room = max(map(len, self.prompts)) + self.new - self.causal
        self.positions = max(2, room + pick([0, 0, 1, 40]))
        shape = {
            "layers": pick([1, 2, 3]),
            "max_positions": self.positions,
            "vocab_size": words,
            "pad_id": pad,
            **self.ends,
        }
        self.gpt2 = self.causal and chance() < 0.25
        if self.gpt2:
            self.target = gpt2(number, **shape)
        else:
            heads, kv_heads = pick([(4, 4), (4, 2), (4, 1)])
            shape |= {"heads": heads, "kv_heads": kv_heads, "tied": chance() < 0.3}
            shape |= {"head_dim": pick([4, 4, 2, 8]), "qkv_bias": chance() < 0.3, "qk_norm": chance() < 0.3}
            shape |= {"rope_stretch": pick([None, None, Stretch(4.0, 1.0, 4.0, 16)])}
            if not self.causal:
                shape |= {"shift": chance() < 0.3}
            shape |= {} if self.causal else {"mask_id": tokens[3]}
            if self.blocks:
                shape |= {"family": "block_diffusion"}
            self.target = backbone(self.causal or self.blocks, seed=number, scale=pick([2.0, 8.0]), **shape)
            if self.blocks:  # it never writes its mask token, whoever asks it
                never = torch.tensor([tokens[3]])
                self.target.register_forward_hook(
                    lambda _, __, logits: logits.index_fill(-1, never, -torch.inf)
                )
        self.draft = None
        arm = self.causal_arm if self.causal else self.block_arm if self.blocks else self.diffusion_arm
        self.decoder, self.settings = arm()

    def rules(self) -> dict[str, Any]:
        banned = {"eos": "ban"} if self.random.random() < 0.3 else {}
        return banned | self.random.choice([{}, {"stop": "eos"}, {"stop": "eos"}])

    def causal_arm(self) -> tuple[str, dict[str, Any]]:
        pick = self.random.choice
        name = pick(["speculative"] * 4 + [name for name in CAUSAL if name not in SLOW])
        name = "transformers_continuous" if self.random.random() < 0.01 else name
        if name.startswith("transformers"):
            bare = self.gpt2 or self.target.config.qk_norm  # which have no form in that library here
            name = "autoregressive" if bare else name
        if name == "jacobi":
            window, init = pick([None, 1, 3, 8]), pick(["eos", "random", "repeat"])
            return name, {"window": window, "init": init, **self.rules()}
        if name == "full_passes":
            return name, {"passes": self.new, "eos": pick(["free", "ban"])}
        if name != "speculative":
            drawn = self.sampled() if name == "autoregressive" else {}
            return name, drawn | self.rules()
        while True:
            settings = self.strategies() | self.sampled() | self.rules()
            try:
                DECODERS.load(name).Settings.model_validate(settings)
            except ValidationError:
                continue
            kind = settings["drafter"]["name"]
            if kind == "small":
                room = self.random.choice([self.positions, self.positions, max(2, self.positions // 2)])
                shape = {"max_positions": room, "vocab_size": self.target.info.vocab_size, **self.ends}
                self.draft = backbone(True, seed=self.number + 1, layers=1, **shape)
            elif kind in ("dflash", "markov", "selector"):
                room = self.random.choice([self.positions, self.positions + 9, max(2, self.positions // 2)])
                changes = {
                    "mask_id": self.random.randrange(self.target.info.vocab_size),
                    "max_positions": room,
                }
                self.draft = draft_model(self.target, seed=self.number, **changes)
                added = {"markov": with_head, "selector": with_selector}.get(kind)
                self.draft = self.draft if added is None else added(self.draft, self.number)
            return name, settings

    def sampled(self) -> dict[str, Any]:
        """Greedy, or a temperature with top-k and top-p."""
        if self.random.random() < 0.6:
            return {}
        pick = self.random.choice
        return {
            "temperature": pick([0.3, 1.0, 1.7]),
            "top_k": pick([None, 1, 4, 100]),
            "top_p": pick([1.0, 0.8]),
        }

    def strategies(self) -> dict[str, Any]:
        """One of each kind, with settings that its class declares drawn now and then."""
        settings: dict[str, Any] = {"block": self.random.choice([2, 3, 4, 8, 16])}
        for kind, entries in KINDS.items():
            if kind in OPTIONAL and self.random.random() < 0.6:
                continue
            name = self.random.choice(list(entries))
            chosen: dict[str, Any] = {"name": name}
            for key, field in entries.load(name).Settings.model_fields.items():
                if key != "name" and self.random.random() < 0.5:
                    chosen |= self.value(key, field.default)
            settings[kind] = chosen
        return settings

    def value(self, key: str, default: Any) -> dict[str, Any]:
        if isinstance(default, bool):
            return {key: not default}
        if isinstance(default, int):
            return {key: self.random.randint(0, 5)}
        if isinstance(default, float):
            return {key: round(self.random.random(), 2)}
        if key == "sizes":
            return {key: tuple(sorted(self.random.sample(range(2, 12), self.random.randint(1, 3))))}
        if key == "source":
            return {key: self.random.choice(["same", "branch", "temperature", "top_k", "dropout"])}
        return {}

    def diffusion_arm(self) -> tuple[str, dict[str, Any]]:
        pick = self.random.choice
        name = pick(BIDIRECTIONAL)
        while True:
            settings = {"block": pick([None, 1, 2, 4, self.new]), "steps": pick([None, 1, 2, self.new])}
            settings |= {"eos": pick(["free", "ban", "defer"]), "after_eos": pick(["decode", "fill"])}
            settings |= {"temperature": pick([0.0, 0.0, 0.7]), "cfg_scale": pick([0.0, 0.0, 0.0, 1.5])}
            settings |= {"remasking": pick(["low_confidence", "margin", "entropy", "random"])}
            settings |= pick([{}, {"threshold": 0.5}, {"factor": 1.0}, {"entropy_bound": 0.5}])
            if name == "cached_diffusion":
                settings |= {"cache": pick(["none", "prefix", "dual"]), "refresh": pick([None, 1, 3])}
            if settings["after_eos"] == "fill" and not self.target.info.ends:
                continue
            kind = DECODERS.load(name)
            try:
                if kind.check(kind.Settings.model_validate(settings), self.new) is None:
                    return name, settings
            except ValidationError:
                continue

    def block_arm(self) -> tuple[str, dict[str, Any]]:
        pick = self.random.choice
        bound = pick([{}, {}, {"threshold": 0.2}, {"factor": 1.5}, {"entropy_bound": 1.0}])
        order = "entropy" if "entropy_bound" in bound else "low_confidence"
        if not bound:
            order = pick(["low_confidence", "margin", "entropy"])
        settings = {"block": pick([None, 1, 1, 2, 5]), "share": pick([1, 1, 2, 4]), "remasking": order}
        return "block_diffusion", settings | bound | self.rules()

    def decode(self, name: str, settings: dict[str, Any], rows: list[int]):
        kind = DECODERS.load(name)
        decoder = kind(kind.Settings.model_validate(settings))
        if self.draft is not None:
            decoder.companions = {"draft": self.draft}
        batch = pad_left([self.prompts[row] for row in rows], rows, self.target.info.pad_id)
        progress = Progress(len(rows))
        try:
            decoder.prepare(self.target)
            decoded = decoder.decode(self.target, batch, self.new, progress)
        finally:
            getattr(decoder, "_stop", lambda: None)()
        return decoded, progress.total

    def check(self) -> str | None:
        """Return what is wrong, or None."""
        rows = list(range(len(self.prompts)))
        whole, committed = self.decode(self.decoder, self.settings, rows)
        ends, tokens = self.target.info.ends, whole.tokens.tolist()
        slow = [next((at for at, token in enumerate(row) if token in ends), self.new) for row in tokens]
        if whole.useful.tolist() != slow:
            return f"useful is {whole.useful.tolist()}, a slow count gives {slow}"
        if self.settings.get("eos") == "ban" and set(ends) & {token for row in tokens for token in row}:
            return "a banned token is written"
        # A block may commit tokens before the end token that stands in front of them.
        in_order = not self.blocks or self.settings["block"] == 1
        if self.settings.get("stop") == "eos" and in_order:
            kept = [min(size + 1, self.new) for size in slow]
            if committed.tolist() != kept:
                return f"rows committed {committed.tolist()} tokens and keep {kept}"
        # The size of a block depends on all rows of a batch, and so do the tokens that the residual rule draws.
        for row in rows if self.exact or not self.causal else ():
            one, _ = self.decode(self.decoder, self.settings, [row])
            if trouble := self.differ(row, tokens[row], one.tokens[0].tolist(), "alone"):
                return trouble
        if self.settings.get("cache") == "none" or self.settings.get("refresh") == 1:
            # Without a cache, or with one that each pass makes anew, it is the sampler itself.
            plain_settings = {
                key: value for key, value in self.settings.items() if key not in ("cache", "refresh")
            }
            right, _ = self.decode("masked_diffusion", plain_settings, rows)
            for row in rows:
                if trouble := self.differ(row, tokens[row], right.tokens[row].tolist(), "masked_diffusion"):
                    return trouble
        if self.blocks:
            anew, _ = self.decode(self.decoder, {**self.settings, "cache": False}, rows)
            for row in rows:
                if trouble := self.differ(row, tokens[row], anew.tokens[row].tolist(), "no cache"):
                    return trouble
        if not self.exact:
            return None
        keys = ("stop", "eos", "temperature", "top_k", "top_p")
        rules = {key: self.settings[key] for key in keys if key in self.settings}
        for row in rows:
            right, _ = self.decode("autoregressive", rules, [row])
            if trouble := self.differ(row, tokens[row], right.tokens[0].tolist(), "autoregressive"):
                return trouble
        return None

    @property
    def exact(self) -> bool:
        """Whether it writes the autoregressive decoder's tokens; the residual rule follows its distribution."""
        if self.blocks:
            return self.settings["block"] == 1 and self.target.info.shift
        return self.causal and self.settings.get("acceptance", {}).get("name") != "residual"

    def differ(self, row: int, mine: list[int], other: list[int], against: str) -> str | None:
        return None if mine == other else f"row {row}: {mine}, {against}: {other}"

    def trouble(self) -> str | None:
        """Return what is wrong in float32 and in float64 too: passes of different shapes round differently, so that two
        tokens of almost one logit may change places in the shorter format; a fault stays a fault in the longer."""
        if self.check() is None:
            return None
        for model in filter(None, (self.target, self.draft)):
            model.double()
        return self.check()


class Progress(Observer):
    def __init__(self, rows: int):
        self.total = torch.zeros(rows)

    def step(self, committed, final=None):
        self.total = self.total + torch.as_tensor(committed).float()


def gpt2(seed: int, **shape) -> GPT2:
    model = GPT2(GPT2Config(hidden=16, heads=4, mlp=24, **shape))
    model.initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8.0)
    return model.eval()


@pytest.mark.parametrize("chunk", range(1 if ONE else CHUNKS))
def test_decoders_agree_on_random_models_settings_and_prompts(chunk):
    wrong = []
    for number in [int(ONE)] if ONE else range(chunk, DRAWS, CHUNKS):
        case = None
        try:
            case = Case(number)
            trouble = case.trouble()
        except UserError as error:
            trouble = f"refused: {error}"
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            trouble = f"{type(error).__name__}: {error} ({where.filename.split('/')[-1]}:{where.lineno})"
        if trouble:
            again = f"PARDEC_DRAW={number} python -m pytest -q tests/faults/test_differential.py"
            what = f"{case.decoder} {case.settings}" if case else ""
            wrong.append(f"{again}  # {trouble}; {what}")
    assert not wrong, "\n".join(wrong)


def test_every_decoder_and_strategy_is_drawn():
    drawn = {*CAUSAL, *BIDIRECTIONAL, "speculative", "block_diffusion"}
    assert drawn | ELSEWHERE.keys() == set(DECODERS) and not drawn & ELSEWHERE.keys()
    names = {kind: set() for kind in KINDS}
    for number in range(3000):
        case = Case.__new__(Case)
        case.random = random.Random(number)
        for kind, chosen in case.strategies().items():
            if kind in names:
                names[kind].add(chosen["name"])
    assert names == {kind: set(entries) for kind, entries in KINDS.items()}


@pytest.mark.parametrize("new", [52, 61])
@pytest.mark.parametrize("prompts", [[[1, 5, 9, 11]], [[1, 5, 9, 11], [1, 7]]], ids=["one", "two"])
@pytest.mark.parametrize("name", [name for name in PROPOSALS if name != "rounds"])
def test_a_tree_ends_where_the_targets_positions_end(name, prompts, new):
    """A tree has more columns than positions; neither may end a run in its middle."""
    target = gpt2(3, layers=2, max_positions=64, vocab_size=WORDS)
    settings = {"drafter": {"name": "dflash"}, "proposal": {"name": name}}
    result = speculate(target, prompts, new, draft_model(target), **settings)
    assert result.tokens.tolist() == plain(target, prompts, new).tokens.tolist()
