"""An autoregressive peer: vLLM (Kwon et al. 2023, arXiv:2309.06180) on the same weights, prompts and number
of tokens.

vLLM is optional (envs/vllm.yaml): where it is not installed, a cell that names it is `unsupported` and says
so. It loads the checkpoint's files itself, so its memory is its own and no pass of ours is counted. It
returns a batch only once all of it is written, so its time to the first token is the time to the last.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pardec.common.settings import Settings
from pardec.decoding.autoregressive import AutoregressiveSettings, Sequential
from pardec.decoding.base import SILENT, Decoded, Observer, Passes, PromptBatch
from pardec.decoding.peers import reported_at_the_end, unpadded

if TYPE_CHECKING:
    from pardec.models.architectures.base import LanguageModel


class VllmSpeculation(Settings):
    """Drafting inside vLLM: the keys of its `speculative_config`, passed on as they are."""

    method: Literal["ngram", "draft_model", "dflash"]
    """`ngram` copies from prompt and output. `draft_model` and `dflash` draft with the companion `draft`, a causal
    model or a DFlash draft; vLLM reads its files itself."""
    num_speculative_tokens: int = Field(ge=1, le=64)
    """Tokens drafted for each verification."""
    prompt_lookup_min: int | None = Field(None, ge=1)
    """Fewest tokens that must match, for `ngram`; null leaves it to vLLM."""
    prompt_lookup_max: int | None = Field(None, ge=1)
    """Most tokens that are matched, for `ngram`; null leaves it to vLLM."""

    @model_validator(mode="after")
    def _lookup_is_ngrams(self) -> Self:
        least, most = self.prompt_lookup_min, self.prompt_lookup_max
        if self.method != "ngram" and (least, most) != (None, None):
            raise ValueError(
                f"prompt_lookup_min and prompt_lookup_max are for method ngram, not {self.method}"
            )
        if least is not None and most is not None and least > most:
            raise ValueError(f"prompt_lookup_min {least} is above prompt_lookup_max {most}")
        return self


class VllmSettings(AutoregressiveSettings):
    """The loop of vLLM, where it is installed."""

    memory_share: float = Field(0.4, gt=0, le=0.95)
    """Share of the GPU's memory that vLLM takes for itself, weights included; our own copy comes on top."""
    speculative: VllmSpeculation | None = None
    """Speculative decoding inside vLLM; null writes one token per pass. Its passes are not counted and appear as
    0."""


class Vllm(Sequential):
    """Writes the tokens with vLLM, from the same files."""

    Settings = VllmSettings
    settings: VllmSettings
    accompanied: ClassVar[tuple[str, ...]] = ("draft",)

    @classmethod
    def wants(cls, settings: VllmSettings) -> tuple[str, ...]:
        return ("draft",) if settings.speculative and settings.speculative.method != "ngram" else ()

    @classmethod
    def passes(cls, settings: VllmSettings, prompt: int, new_tokens: int) -> list[Passes] | None:
        return None if settings.speculative else super().passes(settings, prompt, new_tokens)

    def __init__(self, settings: VllmSettings):
        super().__init__(settings)
        self._source: Any = None
        self._llm: Any = None

    def prepare(self, model: LanguageModel) -> None:
        """Start vLLM on the model's folder, once a model.

        Raises:
            NotImplementedError: vLLM is not installed, the weights are in no file, or the engine is none of vLLM's.
        """
        if self._source is model:
            return
        if self.engine == "packed":
            raise NotImplementedError("engine packed: vLLM multiplies with kernels of its own")
        try:
            import vllm
        except ImportError as error:
            raise NotImplementedError(f"vLLM is not installed ({error}); see envs/vllm.yaml") from None
        folder = _folder(model)
        if model.info.matmul_bytes is not None:
            raise NotImplementedError("vLLM does not know this project's quantised weights")
        self._llm = vllm.LLM(
            model=str(folder),
            dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
            skip_tokenizer_init=True,
            enforce_eager=self.engine == "eager",
            # A cell decodes the same prompts repeatedly; with their prefixes kept there would be no prefill to measure.
            enable_prefix_caching=False,
            gpu_memory_utilization=self.settings.memory_share,
            **self._drafting(),
        )
        self._source = model

    def _drafting(self) -> dict[str, Any]:
        """Return the argument that has vLLM draft, if these settings do; without it vLLM is as it was."""
        if self.settings.speculative is None:
            return {}
        config = self.settings.speculative.model_dump(exclude_none=True)
        if draft := self.companions.get("draft"):
            config["model"] = str(_folder(draft))
        return {"speculative_config": config}

    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        self.prepare(model)
        rows = unpadded(prompts)
        sampling = [self._sampling(model, new_tokens, seed) for seed in prompts.seeds.tolist()]
        observer.start()
        answers = self._llm.generate(
            [{"prompt_token_ids": row} for row in rows], sampling_params=sampling, use_tqdm=False
        )
        written = [list(answer.outputs[0].token_ids)[:new_tokens] for answer in answers]
        decoded = reported_at_the_end(model, prompts, written, new_tokens, observer)
        return decoded if self.settings.speculative is None else replace(decoded, nfe=0, token_forwards=0)

    def _sampling(self, model: LanguageModel, new_tokens: int, seed: int) -> Any:
        """Return our settings in vLLM's terms."""
        import vllm

        settings, ends = self.settings, list(model.info.ends)
        return vllm.SamplingParams(
            temperature=settings.temperature,
            top_k=settings.top_k or 0,
            top_p=settings.top_p,
            seed=seed % (1 << 31),
            max_tokens=new_tokens,
            # Stop tokens are forbidden before min_tokens: a ban. Ignored, they are written like any other.
            min_tokens=new_tokens if settings.eos == "ban" else 0,
            stop_token_ids=ends if settings.eos == "ban" or settings.stop == "eos" else None,
            ignore_eos=settings.eos != "ban" and settings.stop == "length",
            detokenize=False,
        )


def _folder(model: LanguageModel) -> Path:
    """Return the folder with a model's weights.

    Raises:
        NotImplementedError: its weights are in no file.
    """
    folder = getattr(model, "folder", None)
    if folder is None or not any(folder.glob("*.safetensors")):
        raise NotImplementedError("vLLM reads weights from files, and this model has none")
    return folder
