"""An autoregressive peer: transformers' continuous batching on the same weights, prompts and number of
tokens.

Requests of unequal length share each pass without padding, over a paged cache, and leave it when they have
ended, as in Orca (Yu et al. 2022, OSDI) and vLLM. It reports a request only when it is finished,
so its time to the first token is the time to the last.
"""

from __future__ import annotations

import importlib.util
import math
import threading
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.decoding.autoregressive import AutoregressiveSettings, Sequential
from pardec.decoding.base import SILENT, Decoded, Observer, PromptBatch
from pardec.decoding.peers import on_engine, reported_at_the_end, unpadded

if TYPE_CHECKING:
    from pardec.models.architectures.base import LanguageModel

transformers = lazy("transformers")

LOOK_S = 1.0
"""Seconds between two looks at whether the loop still runs, while answers are awaited."""


class TransformersContinuousSettings(AutoregressiveSettings):
    """The loop of transformers with continuous batching and a paged cache."""

    page: int = Field(256, ge=16)
    """Tokens of one page of the cache."""


class TransformersContinuous(Sequential):
    """Writes the tokens with transformers' continuous batching, on the same weights."""

    Settings = TransformersContinuousSettings

    def __init__(self, settings: TransformersContinuousSettings):
        super().__init__(settings)
        self._source: Any = None
        self._twin: Any = None
        self._manager: Any = None
        self._room = (0, 0)

    @classmethod
    def check(cls, settings: TransformersContinuousSettings, new_tokens: int) -> str | None:
        if settings.temperature > 0:
            return "temperature must be 0: continuous batching draws for all prompts from one random stream"
        return super().check(settings, new_tokens)

    def prepare(self, model: LanguageModel) -> None:
        """Put the model's weights behind LlamaForCausalLM, once a model.

        Raises:
            UserError: the model has no form in transformers.
            NotImplementedError: the compiled engine off a GPU, where there are no graphs to capture.
        """
        device = next(model.parameters()).device.type
        if self.engine == "compiled" and device != "cuda":
            raise NotImplementedError("engine compiled: continuous batching captures graphs on a GPU only")
        from pardec.models.checkpoints.twin import transformers_twin

        if self._source is not model:
            self._stop()
            self._twin = on_engine(transformers_twin(model), self.engine, device)
            self._source = model

    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Write `new_tokens` tokens after each prompt, greedily.

        Raises:
            RuntimeError: the loop of continuous batching failed, with its message.
        """
        self.prepare(model)
        self._make_room(model, prompts.size, prompts.length + new_tokens)
        rows = unpadded(prompts)
        observer.start()
        written = self._answers(self._manager.add_requests(rows, max_new_tokens=new_tokens))
        return reported_at_the_end(model, prompts, written, new_tokens, observer)

    def _answers(self, requests: list[str]) -> list[list[int]]:
        """Return the tokens of each request, in this order."""
        answers: dict[str, list[int]] = {}
        while len(answers) < len(requests):
            answer = self._manager.get_result(timeout=LOOK_S)
            if answer is None:
                if not self._manager.is_running():
                    raise RuntimeError("transformers' continuous batching ended without an answer")
            elif answer.error is not None:
                raise RuntimeError(f"transformers' continuous batching: {answer.error}")
            else:
                answers[answer.request_id] = list(answer.generated_tokens)
        return [answers[name] for name in requests]

    def _make_room(self, model: LanguageModel, rows: int, length: int) -> None:
        """Start a loop with a cache for `rows` requests of `length` tokens; a larger one replaces a smaller."""
        if self._manager is not None and rows <= self._room[0] and length <= self._room[1]:
            return
        self._stop()
        self._room = (rows, length)
        self._manager = self._twin.init_continuous_batching(
            generation_config=self._generation(model), continuous_batching_config=self._config()
        )
        self._manager.warmup()
        # A thread inherits that it is a daemon: a measured process must be able to end while the loop waits.
        starter = threading.Thread(target=self._manager.start, daemon=True)
        starter.start()
        starter.join()

    def _stop(self) -> None:
        if self._manager is not None and self._manager.is_running():
            self._manager.stop(block=True)
        self._manager = None

    def _config(self) -> Any:
        """Return a configuration with room for all prompts at once, which keeps nothing between generations."""
        from transformers.generation.configuration_utils import ContinuousBatchingConfig

        rows, length = self._room
        page = self.settings.page
        return ContinuousBatchingConfig(
            page_size=page,
            num_blocks=rows * (math.ceil(length / page) + 1),
            max_batch_tokens=rows * length,
            max_requests_per_batch=rows,
            # A cell decodes the same prompts repeatedly; with their prefixes kept there would be no prefill to measure.
            allow_block_sharing=False,
            use_cuda_graph=self.engine == "compiled",
            # Without the package it would look for kernels on the model hub.
            auto_switch_to_flash=importlib.util.find_spec("flash_attn") is not None,
        )

    def _generation(self, model: LanguageModel) -> Any:
        settings, ends = self.settings, list(model.info.ends)
        return transformers.GenerationConfig(
            # -1: no token ends a request.
            eos_token_id=ends if ends and settings.stop == "eos" else -1,
            pad_token_id=model.info.pad_id,
            suppress_tokens=ends if ends and settings.eos == "ban" else None,
            do_sample=False,
        )
