"""The linear law as machine code, for so many muons, or so many calls, that compiling pays."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from .jacobians import refuse_coupling
from .linear import Propagated, covariance_and_sigma

log = logging.getLogger(__name__)

KEPT = 8
"""Inferences whose laws are kept."""


class CompiledLaw:
    """J Σ Jᵀ of whole blocks of muons, compiled by `torch.compile` when it is first called.

    The compiler's results are kept on disk (TORCHINDUCTOR_CACHE_DIR), so that another process needs a few seconds.
    Where there is no compiler, or the inference can't be compiled, `__call__` returns None ever after.
    """

    def __init__(self, infer: Callable):
        def law(hits: Tensor, sigma_x: Tensor) -> Propagated:
            value, pull = torch.func.vjp(infer, hits)
            count = value.shape[1]
            one_hot = torch.eye(count, dtype=hits.dtype, device=hits.device)
            rows = [pull(one_hot[index].expand_as(value))[0] for index in range(count)]
            covariance, sigma = covariance_and_sigma(torch.stack(rows, dim=1), sigma_x)
            return Propagated(value, covariance, sigma)

        self.infer, self.works = infer, True
        # torch compiles one code a few times only, so every law has its own.
        law.__code__ = law.__code__.replace()
        self._law = torch.compile(law, fullgraph=True, dynamic=False)

    def __call__(self, hits: Tensor, sigma_x: Tensor) -> Propagated | None:
        """The law of a block; None where a hit, an observable or σ is not finite."""
        if not self.works or not torch.isfinite(hits.sum()):
            return None
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's compiler warns of torch
                found = self._law(hits, sigma_x)
        except Exception as error:  # of many kinds; what is the inference's own is raised again without the compiler
            log.info("propagated without compiling: %s", next(iter(str(error).splitlines()), type(error).__name__))
            self.works = False
            return None
        several = found.sigma.shape[1] > 1  # an infinite derivative of one spoils the others
        if not torch.isfinite(found.value.sum()) or (several and not torch.isfinite(found.sigma.sum())):
            return None
        refuse_coupling(self.infer, hits, found.value)
        return found


_LAWS: dict[int, CompiledLaw] = {}


def compiled_law(infer: Callable) -> CompiledLaw:
    """The compiled law of an inference, made once; what the inference holds may change, it is then compiled again."""
    # By identity, for not every callable has a hash; the law keeps the inference alive, and so its identity its own.
    if id(infer) not in _LAWS:
        _LAWS[id(infer)] = CompiledLaw(infer)
        if len(_LAWS) > KEPT:
            del _LAWS[next(iter(_LAWS))]  # the oldest
    return _LAWS[id(infer)]
