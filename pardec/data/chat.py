"""Chat templates as checkpoints carry them: Jinja text that puts a conversation into the form a model was taught.

A template comes from a download, so it runs in a sandbox that can neither reach attributes of Python nor
change what it is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_json

FILE = "chat_template.jinja"
"""Where newer checkpoints keep it; older ones hold it in tokenizer_config.json."""
SPECIALS = ("bos_token", "eos_token", "pad_token", "unk_token")


class ChatTemplate:
    """One model's template.

    source: Jinja text. specials: the texts of its special tokens, by the names templates use. where: the file it
    stands in.
    """

    def __init__(self, source: str, specials: dict[str, str], where: str | Path):
        from jinja2 import TemplateSyntaxError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self.specials, self.where = specials, where
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = self._refuse
        try:
            self.template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise UserError(where, f"is no Jinja template ({error})", "fetch the checkpoint again") from None

    def render(self, messages: list[dict[str, str]], answer: bool = True) -> str:
        """The text of `messages` ({"role", "content"} each), and with `answer` the opening of the model's turn.

        Models that can think aloud first (Qwen3) are told not to: the drafts published for them were made for that.

        Raises:
            UserError: the template refuses the messages, or asks for what a sandbox forbids.
        """
        from jinja2 import TemplateError

        try:
            return self.template.render(
                messages=messages, add_generation_prompt=answer, enable_thinking=False, **self.specials
            )
        except TemplateError as error:
            raise UserError(
                self.where, f"cannot write these messages ({error})", "change the messages"
            ) from None

    def _refuse(self, message: str) -> None:
        raise UserError(self.where, f"refuses these messages: {message}", "change the messages")


def load_chat(folder: str | Path) -> ChatTemplate | None:
    """The chat template of the checkpoint in `folder`; None where it has none.

    Raises:
        UserError: a template that is no Jinja text.
    """
    folder = Path(folder)
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    specials = {name: text for name in SPECIALS if (text := _text(config.get(name))) is not None}
    if (folder / FILE).is_file():
        return ChatTemplate((folder / FILE).read_text(encoding="utf-8"), specials, folder / FILE)
    source = config.get("chat_template")
    if isinstance(source, list):
        # Several by name: tools, retrieval, and the plain one.
        source = next((one["template"] for one in source if one.get("name") == "default"), None)
    return None if source is None else ChatTemplate(source, specials, f"{path}: chat_template")


def chat_of(folder: str | Path) -> ChatTemplate:
    """The chat template of the checkpoint in `folder`.

    Raises:
        UserError: it has none, or one that is no Jinja text.
    """
    chat = load_chat(folder)
    if chat is None:
        raise UserError(
            folder,
            "has no chat template, and the prompts are to go through it",
            "set prompt_form or chat off",
        )
    return chat


def _text(token: Any) -> str | None:
    return token.get("content") if isinstance(token, dict) else token
