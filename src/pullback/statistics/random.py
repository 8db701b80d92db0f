"""Named random streams, independent of batches, cores and the order of work."""

import hashlib

from numpy.random import SFC64, Generator, SeedSequence

PURPOSES = ("truth", "noise", "toys", "efficiency", "scattering", "systematics", "experiments", "coverage")


def random_stream(seed: int, purpose: str, *keys: int) -> Generator:
    """The random generator of one purpose and one unit of work.

    Streams with different seeds, purposes or keys are independent: they are the spawned children (purpose, *keys) of
    one `numpy.random.SeedSequence`. The generator is SFC64, numpy's fastest for normal deviates.

    Parameters
    ----------
    seed : int
        Seed of the study, 0 ≤ seed < 2**128.
    purpose : str
        One of `PURPOSES`. Truth and noise, for example, must not share a stream, or they are correlated.
    *keys : int
        Indices of a block or toy muon, for example, 0 ≤ key < 2**32.

    Returns
    -------
    Generator
        The stream, from its beginning.

    Raises
    ------
    ValueError
        Unknown purpose, or a seed or key out of range.

    Examples
    --------
    >>> from pullback import random_stream
    >>> random_stream(1, "truth", 0).random() == random_stream(1, "truth", 0).random()
    True
    >>> random_stream(1, "truth", 0).random() == random_stream(1, "noise", 0).random()
    False

    """
    if purpose not in PURPOSES:
        raise ValueError(f"unknown purpose {purpose!r}: one of {', '.join(PURPOSES)}")
    if not 0 <= seed < 2**128:
        raise ValueError(f"seed {seed} is outside 0 … 2**128 - 1")
    for key in keys:
        if not 0 <= key < 2**32:  # a larger key would take two words, and (2**32,) would equal (0, 1)
            raise ValueError(f"key {key} is outside 0 … 2**32 - 1")
    return Generator(SFC64(SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), *keys))))


def key_of(text: str) -> tuple[int, ...]:
    """Four stream keys from a text, for a stream that is named after a point of a scan."""
    digest = hashlib.sha256(text.encode()).digest()
    return tuple(int.from_bytes(digest[4 * i : 4 * i + 4], "big") for i in range(4))
