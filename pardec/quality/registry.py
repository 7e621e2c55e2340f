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
        "level0": "pardec.quality.rendering:Level0",
        "level1": "pardec.quality.rendering:Level1",
        "rank0": "pardec.quality.rendering:Rank0",
        "rank1": "pardec.quality.rendering:Rank1",
        "separation0": "pardec.quality.rendering:Separation0",
        "separation1": "pardec.quality.rendering:Separation1",
        "invalid": "pardec.quality.rendering:Invalid",
        "number": "pardec.quality.number:Number",
        "unit_tests": "pardec.quality.unit_tests:UnitTests",
        "chrf": "pardec.quality.chrf:Chrf",
        "bleu": "pardec.quality.bleu:Bleu",
        "distinct_1": "pardec.quality.distinct:Distinct1",
        "distinct_2": "pardec.quality.distinct:Distinct2",
        "distinct_3": "pardec.quality.distinct:Distinct3",
        "scorer_nll": "pardec.quality.scorer_nll:ScorerNLL",
        "encoder_similarity": "pardec.quality.encoder_similarity:EncoderSimilarity",
    },
)
