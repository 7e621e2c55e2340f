"""Table `ideas`: drafting ideas, each setting judged by speed and by tau."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence import comparison
from pardec.evidence.columns import SOURCES, count, flag, measured, number, size, text
from pardec.evidence.ideas import BEST_FIXED, Idea, Ideas, Setting
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.draft import ALL, ratios
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import interval

statistics = lazy("pardec.evidence.statistics")
verdicts = lazy("pardec.evidence.verdicts")

Row = dict[str, Any]
ACCOUNTED = 0.9
"""Least share of cycle time in a profile's named phases."""


def build(inputs: Inputs) -> list[Row]:
    """Returns one row per setting of an idea; no rows if the experiment was not run."""
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
        _adjust([one for one in judged if one.place == 0], kind)
        _adjust([one for one in judged if one.place > 0], kind)
    return [one.row(margin, noise.pooled.n if noise else None) for one in judged]


def _adjust(judged: list[_Judged], kind: str) -> None:
    """Adjust p by Holm's method over the ideas' deciding settings; other settings are adjusted among themselves."""
    tested = [one for one in judged if one.effects[kind] is not None and one.effects[kind].p is not None]
    adjusted = statistics.holm([one.effects[kind].p for one in tested])
    for one, p in zip(tested, adjusted.tolist(), strict=True):
        one.adjusted[kind], one.tests[kind] = p, len(tested)


def _measured(prompts: list[Row], arm: str) -> list[Row]:
    return [row for row in prompts if row["arm"] == arm and not row["tuning"]]


def best_fixed(prompts: list[Row], baseline: str) -> dict[str, str]:
    """Returns by workload the fixed block that was fastest on tuning prompts; the baseline if none was faster."""
    best: dict[str, tuple[float, str]] = {}
    tuned = [row for row in prompts if row["tuning"] and row["against"] == baseline]
    for task in sorted({row["task"] for row in prompts}):
        best[task] = (1.0, baseline)
        for arm in sorted({row["arm"] for row in tuned if row["task"] == task} - {baseline}):
            of_arm = [row for row in tuned if row["task"] == task and row["arm"] == arm]
            effect = verdicts.effect(ratios(of_arm, baseline))
            if effect is not None:
                best[task] = max(best[task], (effect.pooled.value, arm))
    return {task: arm for task, (_, arm) in best.items()}


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
        self.place = idea.settings.index(setting)
        self.prompts = _measured(prompts, setting.arm)
        self.control = _measured(prompts, setting.control) if setting.control else []
        self.table = [row for row in draft if row["arm"] == setting.arm and row["task"] != ALL]
        self.paired = [row for row in self.prompts if row["against"] == self.against(row["task"])]
        silent = idea.instrument
        self.effects: dict[str, Any] = {
            "speed": None if silent else self._effect(lambda row: row["ratio"]),
            "tau": None if silent else self._effect(_tau_ratio),
        }
        self.adjusted: dict[str, float | None] = {"speed": None, "tau": None}
        self.tests = {"speed": 1, "tau": 1}

    def against(self, task: str) -> str:
        against = self.ideas.against(self.setting)
        return self.fixed.get(task, self.ideas.baseline) if against == BEST_FIXED else against

    def _effect(self, of: Callable[[Row], float | None]) -> Any:
        values = [(row, of(row)) for row in self.paired]
        return verdicts.effect(
            verdicts.Ratio(row["task"], row["prompt"], row["run"], value)
            for row, value in values
            if value is not None
        )

    @property
    def facts(self) -> Any:
        known = [row["lossless"] for row in self.prompts if row["lossless"] is not None]
        return verdicts.Facts(
            lossless=all(known) if known else None,
            control=self._control(),
            by_law=self.idea.by_law,
            fell_back=any(row["fell_back"] for row in self.table),
            peeked=any(row["impossible"] for row in self.prompts),
        )

    def _control(self) -> bool | None:
        """Returns whether the machinery with the idea off gave its reference's tokens and cycles."""
        plain = (self.ideas.against(self.setting), self.ideas.baseline, self.ideas.base(self.idea))
        held = [row for row in self.control if row["against"] in plain]
        if not held or {row["task"] for row in held} < {row["task"] for row in self.paired}:
            return None
        return all(row["same_tokens"] and row["same_taus"] for row in held)

    def row(self, margin: float, noise_prompts: int | None) -> Row:
        facts = self.facts
        row: Row = {
            "idea": self.idea.id,
            "number": self.ideas.number(self.idea),
            "title": self.idea.title,
            "arm": self.setting.arm,
            "setting": self.setting.name,
            "words": self.setting.words,
            "deciding": self.place == 0,
            "against": self.ideas.against(self.setting),
            "control_arm": self.setting.control,
            "control": facts.control,
            "lossless": facts.lossless,
            "by_law": facts.by_law,
            "fell_back": facts.fell_back,
            "peeked": facts.peeked,
            "margin": margin,
            "noise_prompts": noise_prompts,
            **_sources([*self.prompts, *self.control]),
        }
        if self.idea.instrument:
            return {**row, **self._instrument()}
        for kind, least in (("speed", margin), ("tau", comparison.DELTA)):
            effect, name = self.effects[kind], "ratio" if kind == "speed" else "tau_ratio"
            decision = verdicts.decide(effect, facts, least, self.adjusted[kind], self.tests[kind])
            row |= {f"{kind}_status": decision.status, f"{kind}_reason": decision.reason}
            row[f"{kind}_prompts_needed"] = decision.prompts
            row[f"{kind}_p"] = self.adjusted[kind]
            if effect is None:
                continue
            row |= interval(name, effect.pooled)
            row |= {"prompts": effect.pooled.n, "workloads": len(effect.workloads), "runs": len(effect.runs)}
            if kind == "speed":
                for run in (1, 2):
                    row |= interval(f"ratio_run{run}", effect.runs.get(run))
                worst = min(effect.workloads.items(), key=lambda item: item[1].value)
                row |= {"worst_task": worst[0], "worst_prompts": worst[1].n}
                row |= interval("worst_ratio", worst[1])
        row |= _taus(self.paired)
        return {**row, "status": row["speed_status"]}

    def _instrument(self) -> Row:
        """Returns columns of an instrument, which is validated if its named phases cover the time of its cycles."""
        shares = [row["accounted_share"] for row in self.table if row["accounted_share"] is not None]
        complete = bool(self.table) and len(shares) == len(self.table)
        good = complete and min(shares) >= ACCOUNTED
        status = verdicts.VALIDATED if good else verdicts.IMPLEMENTED if self.prompts else verdicts.PROPOSED
        reason = {
            verdicts.VALIDATED: "each cycle is there, and its named phases hold nearly all of its time",
            verdicts.IMPLEMENTED: "some cycle or its phases are missing",
            verdicts.PROPOSED: verdicts.NOT_RUN,
        }[status]
        return {
            "status": status,
            "speed_status": status,
            "speed_reason": reason,
            "accounted_share": min(shares) if shares else None,
            "prompts": len({(row["task"], row["prompt"]) for row in self.prompts}),
            "workloads": len({row["task"] for row in self.prompts}),
            "runs": len({row["run"] for row in self.prompts}),
            **_taus(self.prompts),
        }


def _tau_ratio(row: Row) -> float | None:
    return row["tau"] / row["reference_tau"] if row["tau"] and row["reference_tau"] else None


def _taus(rows: list[Row]) -> Row:
    """Returns pooled tau of the idea and of its reference, over the same prompts."""
    known = [row for row in rows if row["tau"] is not None and row["cycles"]]
    if not known:
        return {}
    cycles = sum(row["cycles"] for row in known)
    columns: Row = {"tau": sum(row["tau"] * row["cycles"] for row in known) / cycles, "cycles": cycles}
    other = [row for row in known if row["reference_tau"]]
    if other:
        tokens = sum(row["tau"] * row["cycles"] for row in other)
        columns["reference_tau"] = tokens / sum(
            row["tau"] * row["cycles"] / row["reference_tau"] for row in other
        )
    return columns


def _sources(rows: list[Row]) -> Row:
    records = sorted({(row["record"], row["record_sha256"]) for row in rows})
    return {
        "record": " ".join(path for path, _ in records),
        "record_sha256": " ".join(sha for _, sha in records),
    }


TABLE = Table(
    name="ideas",
    description="One row a setting of a drafting idea: paired throughput and tau against what it is held against, with "
    "verdicts on both.",
    needs=("ideas_file", "draft_prompts", "draft"),
    key=("idea", "arm"),
    columns={
        "idea": text("the idea's name", nullable=False),
        "number": count("its number in the seed; those beyond it count on"),
        "title": text("its title", nullable=False),
        "arm": text("the study's arm that realises it", nullable=False),
        "setting": text("the setting's name within the idea", nullable=False),
        "words": text("what sets this setting apart"),
        "deciding": flag("whether this setting gives the idea its status"),
        "status": text("proposed, implemented, validated, rejected, equivalent or inconclusive: by speed", False),
        "against": text("what it is held against"),
        "prompts": size("different prompts behind the ratio", "prompts"),
        "workloads": count("workloads behind the ratio"),
        "runs": count("separate runs"),
        **measured("ratio", "×", "throughput over what it is held against: geometric mean over prompts, all runs",
                   count="prompts", better="higher"),
        **measured("ratio_run1", "×", "the same, first run", count="prompts", better="higher"),
        **measured("ratio_run2", "×", "the same, second run", count="prompts", better="higher"),
        "worst_task": text("the workload with the lowest ratio"),
        "worst_prompts": size("prompts there", "prompts"),
        **measured("worst_ratio", "×", "the ratio there", count="worst_prompts", better="higher"),
        "margin": number("", "delta: what counts as no difference, 3 % or what an arm against itself shows",
                         "noise_prompts", kind="precision"),
        "noise_prompts": size("prompts of the arm against itself", "prompts"),
        "speed_status": text("the verdict on throughput"),
        "speed_reason": text("what decided it"),
        "speed_prompts_needed": size("prompts that would decide, if all estimates stay", "prompts"),
        "speed_p": number("", "p of a ratio of one, adjusted over the ideas (Holm)", "prompts", kind="precision"),
        "tau": number("tokens", "its tau, pooled over the paired prompts", "cycles", better="higher"),
        "reference_tau": number("tokens", "that of what it is held against, on the same prompts", "cycles"),
        "cycles": count("cycles of the idea behind tau", "cycles", kind="count"),
        **measured("tau_ratio", "×", "tau over the other's: geometric mean over prompts", count="prompts",
                     kind="count", better="higher"),
        "tau_status": text("the verdict on tau, which no machine decides"),
        "tau_reason": text("what decided it"),
        "tau_prompts_needed": size("prompts that would decide, if all estimates stay", "prompts"),
        "tau_p": number("", "p of a tau ratio of one, adjusted over the ideas (Holm)", "prompts", kind="precision"),
        "lossless": flag("whether all its tokens are those of the target's greedy decoding"),
        "by_law": flag("whether its outputs are drawn, so that their distribution is tested instead"),
        "control_arm": text("the arm with the same machinery and the idea switched off"),
        "control": flag("whether that arm gave the reference's tokens and taus"),
        "fell_back": flag("whether it mostly proposed nothing"),
        "peeked": flag("whether it committed more than it proposed"),
        "accounted_share": number("", "of an instrument: least share of cycle time in named phases, "
                     "over workloads", kind="share", better="higher"),
        **SOURCES,
    },
    build=build,
)  # fmt: skip
