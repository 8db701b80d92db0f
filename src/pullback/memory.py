"""Memory that is freed and at once wanted again."""

from functools import lru_cache

import torch

LARGEST = 31 << 20


@lru_cache
def keep_freed() -> None:
    """Let the C library keep what is freed for the next block, instead of giving it back to the system every time.

    glibc gives back blocks as large as any that it has seen freed so far, and the first touch of new pages then takes
    longer than the arithmetic: toys take three times as long. Freeing one block just below glibc's own limit of 32 MiB
    raises that size (mallopt(3), M_MMAP_THRESHOLD). It is never touched, so it takes no memory.
    """
    torch.empty(LARGEST, dtype=torch.uint8)
