import numpy as np
import pytest

from pullback.validation.bin_sums import Binned


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("muons", [1, 5, 3000])
def test_sums_and_numbers_in_bins(muons, share):
    """Against a loop over muons; a share of them outside the fullest bin, a tenth unused, with NaN."""
    rng = np.random.default_rng(muons)
    bins = np.where(rng.random(muons) < share, rng.integers(0, 6, muons), 2).astype("u1")
    unused = rng.random(muons) < 0.1
    bins[unused] = 6
    terms = rng.normal(size=(3, muons))
    terms[:, unused] = np.nan
    which = rng.random(muons) < 0.7
    binned = Binned(bins, 6)
    numbers, counts, sums = np.zeros(6, int), np.zeros(6, int), np.zeros((3, 6))
    for place, flag, values in zip(bins, which, terms.T, strict=True):
        if place < 6:
            counts[place] += 1
            numbers[place] += flag
            sums[:, place] += values
    assert binned.counts.tolist() == counts.tolist()
    assert binned.numbers(which).tolist() == numbers.tolist()
    np.testing.assert_allclose(binned.sums(terms.copy()), sums, rtol=1e-12, atol=1e-12)


def test_no_usable_muon_has_no_sums():
    binned = Binned(np.full(4, 6, "u1"), 6)
    assert binned.counts.tolist() == [0] * 6
    assert binned.numbers(np.ones(4, bool)).tolist() == [0] * 6
    assert binned.sums(np.full((2, 4), np.nan)).tolist() == [[0.0] * 6] * 2
