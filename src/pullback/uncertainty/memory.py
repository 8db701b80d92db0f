"""Memory that is freed and needed again at once, and memory for many muons."""

import ctypes
import math
from contextlib import suppress
from functools import lru_cache

import numpy as np

from .arrays import Tensor

LARGEST_FREED = 31 << 20


@lru_cache
def keep_freed() -> None:
    """Let the C library keep freed memory for the next block, instead of returning it to the system every time.

    glibc returns blocks as large as any that it has seen freed so far, and the first touch of new pages then takes
    longer than the arithmetic: toys take three times as long. Freeing one block just below glibc's own limit of 32 MiB
    raises that size (mallopt(3), M_MMAP_THRESHOLD). It is never touched, so it takes no memory.
    """
    np.empty(LARGEST_FREED, np.uint8)


def trim_memory() -> None:
    """Return freed memory to the system.

    glibc keeps what lies below a small block that is still in use; over many scan points this adds up.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def large(like: Tensor, muons: int) -> Tensor:
    """An empty tensor (muon, …) for this number of muons, otherwise like another.

    On the CPU by numpy, which asks Linux for pages of 2 MiB: touching as much memory first in pages of
    4 KiB takes several times as long as writing to them.
    """
    shape = (muons, *like.shape[1:])
    if like.device.type != "cpu" or not math.prod(shape):  # an empty array can't be viewed as another type
        return like.new_empty(shape)
    import torch  # which simulating and smearing need not wait for

    return torch.from_numpy(np.empty(math.prod(shape) * like.element_size(), "u1")).view(like.dtype).view(shape)
