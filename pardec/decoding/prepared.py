"""Builds a decoder and its model from what a study names, for timing and for scoring alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pardec.common.errors import UnfitError, UserError, unfit
from pardec.common.settings import Settings
from pardec.decoding.base import Decoder
from pardec.decoding.registry import DECODERS
from pardec.models.registry import ENGINES

Encode = Callable[[Sequence[dict], int | None, int | None], list[list[int]]]
"""Prompt records, their exact length in tokens or None, and a seed where tokens are to be random, to token
ids."""


def load_arm(
    model_dir: str | Path,
    decoder: str,
    settings: dict[str, Any],
    device: str,
    precision: str,
    companions: Mapping[str, str | Path] | None = None,
    engine: str = "eager",
    prompt_form: str = "plain",
) -> tuple[Any, Decoder, Encode]:
    """Load a checkpoint and its tokenizer, build the decoder, give it its companions, and let it prepare.

    companions: folders of further checkpoints, by the decoder's names for them. engine: `eager`, `compiled` or `packed`
    for the model and all its companions. prompt_form: `plain`, or `chat` for the checkpoint's chat template.

    Raises:
        UserError: a missing or damaged checkpoint, or settings that the decoder refuses.
        UnfitError: a model whose attention is not what the decoder needs, a companion that it lacks or does not
            know, a model that the decoder or another library cannot run, or no chat template where prompts are to go
            through it.
        NotImplementedError: the engine cannot run one of the models here.
    """
    from pardec.data.encoding import encode_prompts
    from pardec.data.load import load_tokenizer
    from pardec.models.architectures.attention import pin_backends
    from pardec.models.load import load_model

    pin_backends()
    made = build(decoder, settings)
    trouble = companion_trouble(decoder, made.settings, companions or {})
    if trouble:
        raise UnfitError(f"decoder {decoder}", *trouble)
    for name, folder in (companions or {}).items():
        with noted(f"in the companion {name}"):
            made.companions[name] = load_model(folder, device=device, dtype=precision).eval()
    model = load_model(model_dir, device=device, dtype=precision).eval()
    if model.info.attention != made.needs:
        raise UnfitError(
            model_dir,
            f"has {model.info.attention} attention, but decoder {decoder} needs {made.needs}",
            "give the arm another model or another decoder",
        )
    made.engine = engine
    if engine != "eager":
        on_engine = ENGINES.load(engine)
        model = on_engine(model, device)
        for name, other in made.companions.items():
            with noted(f"in the companion {name}"):
                made.companions[name] = on_engine(other, device)
    tokenizer = load_tokenizer(model_dir)
    chat = prompt_form == "chat"
    with unfit():
        if chat:
            tokenizer.require_chat()
        made.prepare(model)
    return (
        model,
        made,
        lambda prompts, length, random=None: encode_prompts(tokenizer, prompts, length, random, chat),
    )


def beyond_positions(model: Any, prompt: int, new_tokens: int) -> str | None:
    """Return why a prompt of `prompt` tokens and `new_tokens` more do not fit a language model's positions, or None."""
    from pardec.models.architectures.base import LanguageModel

    if not isinstance(model, LanguageModel):
        return None
    # The last token that a causal model writes is never read.
    needed = prompt + new_tokens - (model.info.attention == "causal")
    if needed <= model.info.max_positions:
        return None
    request = f"{prompt} prompt and {new_tokens} new tokens"
    return f"{request} exceed the {model.info.max_positions} positions of the model"


@contextmanager
def noted(where: str) -> Iterator[None]:
    """Add a note to any exception from inside: where it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(where)
        raise


def companion_trouble(decoder: str, settings: Any, companions: Collection[str]) -> tuple[str, str] | None:
    """Return what is wrong with the companions of an arm and how to mend it, or None. Light."""
    kind = DECODERS.load(decoder)
    unknown = [name for name in companions if name not in kind.accompanied]
    lacking = [name for name in kind.wants(settings) if name not in companions]
    if unknown:
        return (
            f"has no companion {unknown[0]!r}",
            f"remove it; known: {', '.join(kind.accompanied) or 'none'}",
        )
    if lacking:
        return f"needs a companion {lacking[0]!r}", f"name the model it is: companions: {{{lacking[0]}: ...}}"
    return None


def modules_run(decoder: str, settings: dict[str, Any], engine: str = "eager") -> tuple[str, ...]:
    """Return the dotted names of the modules that an arm loads by name: those of its decoder at these plain settings
    and of its engine; those of its models are named by their folders. Imports no torch.

    Raises:
        UserError: no such decoder or engine, or a setting it refuses.
    """
    modules = DECODERS.load(decoder).modules(validated(decoder, settings))
    return modules if engine == "eager" else (*modules, ENGINES.module(engine))


def build(decoder: str, settings: dict[str, Any]) -> Decoder:
    """Build a decoder from its registry name and plain settings.

    Raises:
        UserError: no such decoder, or a setting it refuses.
    """
    return DECODERS.load(decoder)(validated(decoder, settings))


def validated(decoder: str, settings: dict[str, Any]) -> Settings:
    """Return the settings of a decoder from plain values.

    Raises:
        UserError: no such decoder, or a setting it refuses.
    """
    kind = DECODERS.load(decoder).Settings
    try:
        # As JSON, where a list may stand for a tuple: settings come from command lines and studies.
        return kind.model_validate_json(json.dumps(settings))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"decoder {decoder}: {key}", first["msg"], "correct this setting") from None
