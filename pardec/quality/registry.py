"""The metrics of outputs, by name."""

from __future__ import annotations

from pardec.common.registry import Registry

METRICS = Registry(
    "metric",
    {
        "exact": "pardec.quality.exact:Exact",
        "cells": "pardec.quality.task_scores:Cells",
        "rows": "pardec.quality.task_scores:Rows",
        "parses": "pardec.quality.task_scores:Parses",
        "tokens": "pardec.quality.task_scores:Tokens",
        "items": "pardec.quality.task_scores:Items",
        "chrf": "pardec.quality.chrf:Chrf",
        "bleu": "pardec.quality.bleu:Bleu",
        "distinct_1": "pardec.quality.distinct:Distinct1",
        "distinct_2": "pardec.quality.distinct:Distinct2",
        "distinct_3": "pardec.quality.distinct:Distinct3",
        "scorer_nll": "pardec.quality.scorer_nll:ScorerNLL",
        "bertscore": "pardec.quality.bertscore:BertScore",
    },
)
