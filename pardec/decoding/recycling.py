"""n-grams of rejected guesses, kept for later guesses (after lookahead decoding, Fu et al. 2024, arXiv:2402.02057).

A pass of Jacobi decoding predicts a token behind every guess. Where a guess before it was wrong, the prediction is
rejected with it; but it says what the model writes behind those few tokens, and they may come again, often a position
further on. Lookahead decoding verifies such n-grams in a branch of their own; here they only replace guesses, so that a
pass costs the same. A guess decides how many passes are needed and never what is written.
"""

from __future__ import annotations

from collections.abc import Sequence


class Pool:
    """The newest `size` n-grams of one row; none are kept of size 0."""

    def __init__(self, ngram: int, size: int):
        self.ngram, self.size = ngram, size
        self._next: dict[tuple[int, ...], int] = {}

    def learn(self, before: Sequence[int], token: int) -> None:
        """Keep `token` as what was predicted behind the tokens `before`, the last `ngram` - 1 of which count."""
        key = self._key(before)
        self._next.pop(key, None)
        self._next[key] = token
        while len(self._next) > self.size:
            del self._next[next(iter(self._next))]

    def follow(self, before: Sequence[int], count: int) -> list[int]:
        """Return up to `count` tokens that the pool knows behind the tokens `before`, each behind those before it."""
        tokens = list(before)
        for _ in range(count):
            token = self._next.get(self._key(tokens))
            if token is None:
                break
            tokens.append(token)
        return tokens[len(before) :]

    def _key(self, tokens: Sequence[int]) -> tuple[int, ...]:
        return tuple(tokens[len(tokens) - self.ngram + 1 :])
