"""placeholder until the real one is merged"""

from typing import NamedTuple

import torch


class C(NamedTuple):
    confidence68: torch.Tensor
    confidence95: torch.Tensor


def confidence_interval(infer, hits, *, sigma=None, covariance=None):
    from ..statistics.normal import K68, K95
    from .linear import propagate

    p = propagate(infer, hits, covariance=covariance)
    return C(*(torch.stack([p.value - k * p.sigma, p.value + k * p.sigma], 2) for k in (K68, K95)))
