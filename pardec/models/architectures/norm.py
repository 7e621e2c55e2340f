"""Root mean square norm (Zhang & Sennrich 2019, arXiv:1910.07467) that is fast for few rows on a CPU.

Torch has no CPU kernel for it: its version runs about seven operators, which for the few tokens of a sequential step
take longer than a matrix product. Without gradients three of them can write in place and two are unnecessary.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return x / √(mean of x² + eps) · weight over the last dimension.

    x: [..., width]. weight: [width]. Calls torch's version with gradients, under compilation, in other formats than
    float32, and on other devices than a CPU; both agree to float32's rounding.
    """
    if torch.is_grad_enabled() or x.dtype != torch.float32 or not x.is_cpu or _compiling():
        return F.rms_norm(x, weight.shape, weight, eps)
    # √(Σx² + width · eps) = √width · √(mean of x² + eps)
    least, root = _constants(weight.shape[0], eps)
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x.div(length.hypot_(least).div_(root)).mul_(weight)


_compiling = torch.compiler.is_compiling


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _constants(width: int, eps: float) -> tuple[Tensor, Tensor]:
    """Return √(width · eps) and √width as tensors: converting a number in each call costs several times the work."""
    return torch.tensor(math.sqrt(width * eps)), torch.tensor(math.sqrt(width))
