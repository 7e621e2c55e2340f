"""Running averages of what each block size brings and costs."""

from __future__ import annotations

from pardec.decoding.speculative.base import Outcome


class Averages:
    """tau, seconds: by the index of a size, None where it was never tried. Where nobody keeps time every cycle takes
    one unit, so sizes are judged by tau alone."""

    def __init__(self, sizes: tuple[int, ...], decay: float):
        self.decay = decay
        self.tau: list[float | None] = [None] * len(sizes)
        self.seconds: list[float | None] = [None] * len(sizes)

    def add(self, index: int, outcome: Outcome) -> None:
        self._into(self.tau, index, outcome.tau)
        self._into(self.seconds, index, 1.0 if outcome.seconds is None else outcome.seconds)

    def score(self, index: int) -> float | None:
        """Tokens a second."""
        if self.tau[index] is None:
            return None
        return self.tau[index] / max(self.seconds[index], 1e-9)

    def _into(self, averages: list[float | None], index: int, value: float) -> None:
        old = averages[index]
        averages[index] = value if old is None else self.decay * old + (1 - self.decay) * value


def nearest(sizes: tuple[int, ...], block: int) -> int:
    """The index of the size nearest to `block`."""
    return min(range(len(sizes)), key=lambda index: abs(sizes[index] - block))
