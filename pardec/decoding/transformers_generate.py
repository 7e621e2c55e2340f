"""The second autoregressive arm: `generate()` of transformers on the same weights.

It writes as many tokens as our own loop, by the same rules, so that the two differ only in the loop and the
model code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from pardec.common.lazy import lazy
from pardec.decoding.autoregressive import AutoregressiveSettings, Sequential
from pardec.decoding.base import SILENT, Decoded, Observer, Passes, PromptBatch
from pardec.decoding.batching import count_useful, filler, is_end
from pardec.decoding.peers import on_engine

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")
transformers = lazy("transformers")


class TransformersGenerateSettings(AutoregressiveSettings):
    """The loop of transformers' `generate`."""

    cache: Literal["dynamic", "static"] = "dynamic"
    """`static` preallocates keys and values for the whole output; the compiled engine needs it, and
    transformers then compiles its own loop."""
    lookup: int | None = Field(None, ge=1)
    """Prompt lookup of transformers: verify up to this many tokens per pass, copied from where the last ones occurred
    before. Greedy only, one prompt at a time, dynamic cache. null writes one token per pass."""

    @model_validator(mode="after")
    def _lookup_is_greedy(self) -> Self:
        if self.lookup is not None and (self.temperature > 0 or self.cache == "static"):
            raise ValueError("lookup needs temperature 0 and cache: dynamic")
        return self


class TransformersGenerate(Sequential):
    """Writes the tokens with transformers' `generate()`, on the same weights."""

    Settings = TransformersGenerateSettings

    def __init__(self, settings: TransformersGenerateSettings):
        super().__init__(settings)
        self._source: Any = None
        self._twin: Any = None
        self._generations: dict[int, Any] = {}

    def prepare(self, model: LanguageModel) -> None:
        """Put the model's weights behind LlamaForCausalLM, once a model.

        Raises:
            UserError: the model has no form in transformers.
            NotImplementedError: the compiled engine, where transformers does not compile.
        """
        device = next(model.parameters()).device.type
        if self.engine == "compiled" and (self.settings.cache != "static" or device != "cuda"):
            raise NotImplementedError(
                "engine compiled: transformers compiles its loop on a GPU only, and with cache: static"
            )
        from pardec.models.checkpoints.twin import transformers_twin

        if self._source is not model:
            self._twin = on_engine(transformers_twin(model), self.engine, device)
            # What our settings leave open must not come from the model's own defaults.
            self._twin.generation_config = transformers.GenerationConfig(
                bos_token_id=None, eos_token_id=None, pad_token_id=model.info.pad_id
            )
            self._source, self._generations = model, {}

    @classmethod
    def passes(cls, settings: Any, prompt: int, new_tokens: int) -> list[Passes] | None:
        return super().passes(settings, prompt, new_tokens) if settings.lookup is None else None

    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        self.prepare(model)
        if self.settings.lookup is not None and prompts.size > 1:
            raise NotImplementedError(f"prompt lookup of transformers takes one prompt, not {prompts.size}")
        if self.settings.temperature > 0:
            # generate() draws from torch's generator: reproducible for a batch, not for a prompt.
            torch.manual_seed(int(prompts.seeds.sum()) % (1 << 63))
        if new_tokens not in self._generations:
            self._generations[new_tokens] = self._generation(model, new_tokens)
        ends = model.info.ends if self.settings.stop == "eos" else ()
        progress = _Progress(observer, prompts, ends)
        positions: list[int] = []  # of each pass: without a draft all but the first have one
        embedding = self._twin.get_input_embeddings()
        counting = embedding.register_forward_hook(lambda _, given, __: positions.append(given[0].shape[1]))
        observer.start()
        with counting, torch.inference_mode():
            sequences = self._twin.generate(
                prompts.tokens,
                attention_mask=_attended(prompts),
                generation_config=self._generations[new_tokens],
                stopping_criteria=transformers.StoppingCriteriaList([progress]),
            )
        output = sequences[:, prompts.length :]
        if output.shape[1] < new_tokens:
            output = torch.nn.functional.pad(
                output, (0, new_tokens - output.shape[1]), value=filler(model.info)
            )
        return Decoded(
            output.contiguous(),
            count_useful(output, model.info.ends),
            progress.passes,
            token_forwards=sum(positions),
        )

    def _generation(self, model: LanguageModel, new_tokens: int) -> Any:
        """Return our settings as a generation configuration."""
        settings, ends = self.settings, list(model.info.ends)
        sampling = {}
        if settings.temperature > 0:
            # top_k 0 and top_p 1 switch the truncation off; the defaults of transformers do not.
            sampling = {
                "temperature": settings.temperature,
                "top_k": settings.top_k or 0,
                "top_p": settings.top_p,
            }
        return transformers.GenerationConfig(
            max_new_tokens=new_tokens,
            # Without an end token nothing is suppressed and nothing stops early: exactly new_tokens on every
            # row. (min_new_tokens would forbid the end token instead and so change the output.)
            eos_token_id=ends if ends and settings.stop == "eos" else None,
            pad_token_id=filler(model.info) if settings.stop == "eos" else model.info.pad_id,
            suppress_tokens=ends if ends and settings.eos == "ban" else None,
            do_sample=settings.temperature > 0,
            use_cache=True,
            cache_implementation=None if self.settings.cache == "dynamic" else self.settings.cache,
            # Left to itself it compiles with a static cache, whatever engine the study says.
            disable_compile=self.engine != "compiled",
            prompt_lookup_num_tokens=settings.lookup,
            **sampling,
        )


def _attended(prompts: PromptBatch) -> Tensor:
    """Return [B, P] long, 1 at tokens that are no padding."""
    columns = torch.arange(prompts.length, device=prompts.tokens.device)
    return (columns >= prompts.pad[:, None]).long()


class _Progress:
    """A stopping criterion that stops nothing: generate() calls it once per pass, on the device, without a copy."""

    def __init__(self, observer: Observer, prompts: PromptBatch, ends: tuple[int, ...]):
        self.observer, self.ends, self.prompt, self.done, self.passes = observer, ends, prompts.length, 0, 0
        self.never = torch.zeros(prompts.size, dtype=torch.bool, device=prompts.tokens.device)
        self.ended = self.never

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        committed, self.done = input_ids.shape[1] - self.prompt - self.done, input_ids.shape[1] - self.prompt
        self.passes += 1
        self.observer.step(committed * ~self.ended if self.ends else committed, self.done)
        if self.ends:
            self.ended = self.ended | is_end(input_ids[:, -1], self.ends)
        return self.never
