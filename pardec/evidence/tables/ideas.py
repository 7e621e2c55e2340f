"""Table `ideas`: drafting ideas, each setting judged by speed and by tau."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence import comparison
from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.ideas import BEST_FIXED, Idea, Ideas, Setting
from pardec.evidence.tables.base import Row, Table
from pardec.evidence.tables.draft import ALL, ratios
from pardec.evidence.tables.inputs import Inputs, joined
from pardec.evidence.tables.pairs import interval

statistics = lazy("pardec.evidence.statistics")
verdicts = lazy("pardec.evidence.verdicts")

ACCOUNTED = 0.9
"""Least share of cycle time in a profile's named phases."""


def build(inputs: Inputs) -> list[Row]:
    """Return one row per setting of an idea; no rows if the experiment was not run."""
    prompts, draft = inputs.rows("draft_prompts"), inputs.rows("draft")
    if not prompts:
        return []
    ideas = inputs.ideas
    fixed = best_fixed(prompts, ideas.baseline)
    noise = verdicts.effect(ratios(_measured(prompts, ideas.baseline), ideas.baseline))
    margin = comparison.delta(noise.reach() if noise else None)
    judged = [
        _Judged(ideas, idea, setting, prompts, draft, fixed)
        for idea in ideas.ideas
        for setting in idea.settings
    ]
    for kind in ("speed", "tau"):
        for deciding in (True, False):
            _adjust([one for one in judged if one.deciding == deciding], kind)
    return [one.row(margin, noise.pooled.n if noise else None) for one in judged]


def _adjust(judged: list[_Judged], kind: str) -> None:
    """Adjust p by Holm's method over the ideas' deciding settings; other settings are adjusted among themselves."""
    tested = [one for one in judged if one.effects[kind] is not None and one.effects[kind].p is not None]
    adjusted = statistics.holm([one.effects[kind].p for one in tested])
    for one, p in zip(tested, adjusted.tolist(), strict=True):
        one.adjusted[kind] = p, len(tested)


def _measured(prompts: list[Row], arm: str | None) -> list[Row]:
    return [row for row in prompts if row["arm"] == arm and not row["tuning"]]


def best_fixed(prompts: list[Row], baseline: str) -> dict[str, str]:
    """Return by workload the fixed block that was fastest on tuning prompts; the baseline if none was faster."""
    tuned = [row for row in prompts if row["tuning"] and row["against"] == baseline]
    best: dict[str, str] = {}
    for task in sorted({row["task"] for row in prompts}):
        speeds = [(1.0, baseline)]
        for arm in sorted({row["arm"] for row in tuned if row["task"] == task} - {baseline}):
            of_arm = [row for row in tuned if (row["task"], row["arm"]) == (task, arm)]
            effect = verdicts.effect(ratios(of_arm, baseline))
            if effect is not None:
                speeds.append((effect.pooled.value, arm))
        best[task] = max(speeds)[1]
    return best


class _Judged:
    """One setting of one idea with its evidence."""

    def __init__(
        self,
        ideas: Ideas,
        idea: Idea,
        setting: Setting,
        prompts: list[Row],
        draft: list[Row],
        fixed: dict[str, str],
    ):
        self.ideas, self.idea, self.setting, self.fixed = ideas, idea, setting, fixed
        self.deciding = setting is idea.settings[0]
        self.prompts = _measured(prompts, setting.arm)
        self.control = _measured(prompts, setting.control)
        self.table = [row for row in draft if row["arm"] == setting.arm and row["task"] != ALL]
        self.paired = [row for row in self.prompts if row["against"] == self.against(row["task"])]
        measures = {"speed": lambda row: row["ratio"], "tau": _tau_ratio}
        self.effects = {kind: None if idea.instrument else self._effect(of) for kind, of in measures.items()}
        self.adjusted: dict[str, tuple[float | None, int]] = dict.fromkeys(measures, (None, 1))

    def against(self, task: str) -> str:
        against = self.ideas.against(self.setting)
        return self.fixed.get(task, self.ideas.baseline) if against == BEST_FIXED else against

    def _effect(self, of: Callable[[Row], float | None]) -> Any:
        values = ((row, of(row)) for row in self.paired)
        return verdicts.effect(
            verdicts.Ratio(row["task"], row["prompt"], row["run"], value)
            for row, value in values
            if value is not None
        )

    def _facts(self) -> Any:
        known = [row["lossless"] for row in self.prompts if row["lossless"] is not None]
        return verdicts.Facts(
            lossless=all(known) if known else None,
            control=self._control(),
            by_law=self.idea.by_law,
            fell_back=any(row["fell_back"] for row in self.table),
            peeked=any(row["impossible"] for row in self.prompts),
        )

    def _control(self) -> bool | None:
        """Return whether the machinery with the idea off gave its reference's tokens and cycles."""
        plain = (self.ideas.against(self.setting), self.ideas.baseline, self.ideas.base(self.idea))
        held = [row for row in self.control if row["against"] in plain]
        if not held or {row["task"] for row in held} < {row["task"] for row in self.paired}:
            return None
        return all(row["same_tokens"] and row["same_taus"] for row in held)

    def row(self, margin: float, noise_prompts: int | None) -> Row:
        facts, setting = self._facts(), self.setting
        row: Row = {
            "idea": self.idea.id,
            "number": self.ideas.number(self.idea),
            "title": self.idea.title,
            "arm": setting.arm,
            "setting": setting.name,
            "words": setting.words,
            "deciding": self.deciding,
            "against": self.ideas.against(setting),
            "control_arm": setting.control,
            **{
                name: getattr(facts, name)
                for name in ("control", "lossless", "by_law", "fell_back", "peeked")
            },
            "margin": margin,
            "noise_prompts": noise_prompts,
            **joined(sorted([*self.prompts, *self.control], key=lambda row: row["record"])),
        }
        if self.idea.instrument:
            return {**row, **self._instrument(), **_taus(self.prompts)}
        for kind, name, least in (("speed", "ratio", margin), ("tau", "tau_ratio", comparison.DELTA)):
            effect, (p, tests) = self.effects[kind], self.adjusted[kind]
            decision = verdicts.decide(effect, facts, least, p, tests)
            row |= {f"{kind}_status": decision.status, f"{kind}_reason": decision.reason, f"{kind}_p": p}
            row |= {f"{kind}_prompts_needed": decision.prompts, f"{kind}_runs_needed": decision.runs}
            if effect is not None:
                row |= interval(name, effect.pooled)
                row |= {
                    "prompts": effect.pooled.n,
                    "workloads": len(effect.workloads),
                    "runs": len(effect.runs),
                }
        for run in (1, 2) if self.effects["speed"] is not None else ():
            row |= interval(f"ratio_run{run}", self.effects["speed"].runs.get(run))
        return {**row, **_taus(self.paired), "status": row["speed_status"]}

    def _instrument(self) -> Row:
        """Return columns of an instrument, which is validated if its named phases cover the time of its cycles."""
        shares = [row["accounted_share"] for row in self.table if row["accounted_share"] is not None]
        if shares and len(shares) == len(self.table) and min(shares) >= ACCOUNTED:
            status, reason = (
                verdicts.VALIDATED,
                "every cycle is recorded, and its named phases cover nearly all of its time",
            )
        elif self.prompts:
            status, reason = verdicts.IMPLEMENTED, "a cycle or its phases are missing"
        else:
            status, reason = verdicts.PROPOSED, verdicts.NOT_RUN
        return {
            "status": status,
            "speed_status": status,
            "speed_reason": reason,
            "accounted_share": min(shares, default=None),
            "prompts": len({(row["task"], row["prompt"]) for row in self.prompts}),
            "workloads": len({row["task"] for row in self.prompts}),
            "runs": len({row["run"] for row in self.prompts}),
        }


def _tau_ratio(row: Row) -> float | None:
    return row["tau"] / row["reference_tau"] if row["tau"] and row["reference_tau"] else None


def _taus(rows: list[Row]) -> Row:
    """Return pooled tau of the idea and of its reference, over the same prompts."""
    known = [row for row in rows if row["tau"] is not None and row["cycles"]]
    if not known:
        return {}
    tokens, cycles = sum(row["tau"] * row["cycles"] for row in known), sum(row["cycles"] for row in known)
    taus: Row = {"tau": tokens / cycles, "cycles": cycles}
    written = [(row["tau"] * row["cycles"], row["reference_tau"]) for row in known if row["reference_tau"]]
    if written:
        taus["reference_tau"] = sum(of for of, _ in written) / sum(of / tau for of, tau in written)
    return taus


IDEAS = Table(
    name="ideas",
    description="One row per setting of a drafting idea: paired throughput and tau over its reference, both judged.",
    needs=("ideas_file", "draft_prompts", "draft"),
    key=("idea", "arm"),
    columns=columns("""
idea                  text! | the idea's name
number                count | its number in the source document; further ideas have the next numbers
title                 text! | its title
arm                   text! | the study's arm that realises it
setting               text! | the setting's name within the idea
words                 text | what sets this setting apart
deciding              flag | whether this setting gives the idea its status
status                text! | proposed, implemented, validated, rejected, equivalent or inconclusive: by speed
against               text | what it is compared with
prompts               size prompts | different prompts behind the ratio
workloads             count | workloads behind the ratio
runs                  count | separate runs
ratio                 interval × of=prompts better=higher | throughput over what it is compared with: geometric mean
    over prompts, all runs
ratio_run1            interval × of=prompts better=higher | the same, first run
ratio_run2            interval × of=prompts better=higher | the same, second run
margin                number of=noise_prompts kind=precision | delta: what counts as no difference, 3 % or what an arm
    against itself shows
noise_prompts         size prompts | prompts of the arm against itself
speed_status          text | the verdict on throughput
speed_reason          text | what decided it
speed_prompts_needed  size prompts | prompts that would decide if all estimates stay the same
speed_runs_needed     size runs | separate runs that would decide, where too little was measured
speed_p               number of=prompts kind=precision | p of a ratio of one, adjusted over the ideas (Holm)
tau                   number tokens of=cycles better=higher | its tau, pooled over the paired prompts
reference_tau         number tokens of=cycles | that of what it is compared with, on the same prompts
cycles                count cycles kind=count | cycles of the idea behind tau
tau_ratio             interval × of=prompts kind=count better=higher | tau over the other's: geometric mean over
    prompts
tau_status            text | the verdict on tau, which does not depend on the machine
tau_reason            text | what decided it
tau_prompts_needed    size prompts | prompts that would decide if all estimates stay the same
tau_runs_needed       size runs | separate runs that would decide, where too little was measured
tau_p                 number of=prompts kind=precision | p of a tau ratio of one, adjusted over the ideas (Holm)
lossless              flag | whether all its tokens are those of the target's greedy decoding
by_law                flag | whether its outputs are sampled, so that their distribution is tested instead of
    their tokens
control_arm           text | the arm with the same machinery and the idea switched off
control               flag | whether that arm gave the reference's tokens and taus
fell_back             flag | whether it mostly proposed nothing
peeked                flag | whether it committed more than it proposed
accounted_share       number kind=share better=higher | of an instrument: least share of cycle time in named phases,
    over workloads
""")
    | SOURCES,
    build=build,
)
