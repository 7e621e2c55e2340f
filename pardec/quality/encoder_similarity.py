"""Similarity of output and answer by a local encoder: greedy matching of its embeddings (after Zhang et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.quality.base import Context, Metric, Scored, mean_of, required

if TYPE_CHECKING:
    from torch import Tensor, nn

torch = lazy("torch")


class EncoderSimilarity(Metric):
    """F1 of greedy cosine matching between the tokens of output and answer.

    BERTScore's matching with other choices around it, so its values are not BERTScore's: the last layer of whichever
    encoder is given (bert-score picks a layer per model), no rescaling by a baseline, no idf weights, special tokens
    left out. An output without a token scores 0.
    """

    name = "encoder_similarity"
    title = "encoder similarity"
    better = "higher"
    unit = "cosine"
    span = 2.0
    margin = 0.01
    """Scores of good and mediocre texts differ by a tenth at most, so 0.05 would be most of that range."""
    needs = frozenset({"answer", "encoder"})

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        encoder = Encoder(required(context.encoder), context.device)

        def f1(row: dict) -> float:
            return greedy_f1(encoder.embed(row["text"]), encoder.embed(row["answer"]))

        return mean_of(outputs, f1, context.seed)


class Encoder:
    """A bidirectional encoder and its tokenizer, from a local folder; nothing is downloaded.

    Raises:
        UserError: the folder is missing or has no model, or its weights or tokenizer do not fit its config.
    """

    def __init__(self, path: str | Path, device: str):
        import transformers

        # Without this check a missing folder would be looked for on the hub.
        if not Path(path).is_dir():
            raise UserError(path, "does not exist", "give the folder of a local encoder")
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
            model, report = transformers.AutoModel.from_pretrained(
                path, local_files_only=True, output_loading_info=True
            )
        except Exception as error:  # what the library and its readers of files raise
            what = f"is not an encoder ({(str(error).splitlines() or [type(error).__name__])[0]})"
            raise UserError(path, what, "give a folder with config.json, weights and a tokenizer") from None
        # The library draws missing weights at random; those of a pooler are not read here.
        drawn = sorted(name for name in report["missing_keys"] if "pooler" not in name)
        if drawn:
            what = f"lacks {len(drawn)} weight(s), first {drawn[0]!r}"
            raise UserError(path, what, "give the weights that belong to its config.json")
        largest = max(self.tokenizer.get_vocab().values(), default=-1)
        if largest >= len(model.get_input_embeddings().weight):
            what = "has a tokenizer with more tokens than its embedding"
            raise UserError(path, what, "give the tokenizer of these weights")
        whole = getattr(model.config, "is_encoder_decoder", False)  # of T5's or BART's kind
        self.model = (model.get_encoder() if whole else model).eval().to(device)
        self.device = device
        self.longest = min(usable_positions(self.model), self.tokenizer.model_max_length)

    def embed(self, text: str) -> Tensor:
        """Return unit embeddings [T, hidden] of the tokens of `text`, special ones left out; long texts are cut."""
        encoded = self.tokenizer(
            text,
            truncation=True,
            max_length=self.longest,
            return_special_tokens_mask=True,
            return_tensors="pt",
        ).to(self.device)
        special = encoded.pop("special_tokens_mask")[0].bool()
        with torch.inference_mode():
            hidden = self.model(**encoded).last_hidden_state[0][~special]
        return torch.nn.functional.normalize(hidden.float(), dim=-1)


def usable_positions(model: nn.Module) -> int:
    """Return the maximum number of tokens of an encoder, special ones included.

    Encoders like RoBERTa number positions from padding_idx + 1 on, so 514 positions fit 512 tokens.
    """
    positions = getattr(model.config, "max_position_embeddings", None) or 512
    tables = (part for name, part in model.named_modules() if name.endswith("position_embeddings"))
    padding = next((getattr(table, "padding_idx", None) for table in tables), None)
    return positions if padding is None else positions - padding - 1


def greedy_f1(output: Tensor, answer: Tensor) -> float:
    """Return the F1 of the best cosine match of each token; 0 if either side has no token.

    output: [T, hidden], answer: [U, hidden], unit rows.
    """
    if not len(output) or not len(answer):
        return 0.0
    similar = output @ answer.T
    precision, recall = similar.amax(1).mean().item(), similar.amax(0).mean().item()
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
