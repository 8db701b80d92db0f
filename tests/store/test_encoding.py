"""Compact storage of numbers, read as a reader of the file would, by the documented formula."""

import numpy as np
import pytest

from pullback.store.encoding import (
    HALF_DIGIT,
    KEPT_NUMBERS,
    KEPT_OFFSETS,
    MOST_MOVED,
    base_of,
    decode,
    encode,
    factors_of,
)

HUGE = [0.0, -0.0, 1e-320, 1e-45, 1e-38, 1e-30, 1e30, 3.5e38, 1e300, 1.7e308, np.inf, np.nan]
"""What float32 holds, and what it doesn't."""


def by_hand(kept, quoted, field):
    """A field by the formula of the docs, where it is not kept in full."""
    stored = kept.stored[field]
    full = kept.full.get(field, np.zeros(stored.shape, bool))
    assert stored.dtype == np.float32
    assert np.isnan(stored[full]).all()
    with np.errstate(all="ignore"):
        if field in KEPT_OFFSETS:
            sigma = np.nan_to_num(by_hand(kept, quoted, "sigma"), nan=0.0, posinf=0.0, neginf=0.0)
            factors = np.array([-1, 1]) * KEPT_OFFSETS[field]
            stored = (quoted["value"][..., None] + sigma[..., None] * factors) + stored
        return np.where(full, quoted[field], stored)


def as_read(kept, quoted, field):
    """A field as the package reads it."""
    stored = kept.stored[field]
    with np.errstate(all="ignore"):
        if field in KEPT_OFFSETS:
            found = decode(
                stored, base_of(quoted["value"], as_read(kept, quoted, "sigma"), factors_of(KEPT_OFFSETS[field]))
            )
        else:
            found = decode(stored)
    full = kept.full.get(field, np.zeros(stored.shape, bool))
    assert np.isnan(found[full]).all()
    return np.where(full, quoted[field], found)


def quoted_of(value, sigma, ends68, ends95, bias=None, linear=None):
    """A block of one observable."""
    column = lambda each: np.asarray(each, float)[:, None]  # noqa: E731
    ends = {"interval68": column(ends68), "interval95": column(ends95)}
    ends |= {each.replace("interval", "confidence"): values for each, values in ends.items()}
    numbers = {"sigma": sigma, "sigma_linear": sigma if linear is None else linear}
    numbers["bias"] = np.zeros(len(value)) if bias is None else bias
    return {"value": column(value), **{name: column(each) for name, each in numbers.items()}, **ends}


def check(quoted, most=0.0):
    """No number moves by more than 1e-7 σ or, without a σ, of its size; no interval gets shorter; few are in full."""
    kept = encode(quoted)
    with np.errstate(all="ignore"):
        sigma = np.abs(quoted["sigma"])
        has = np.isfinite(sigma) & (sigma > 0)
        for field in (*KEPT_NUMBERS, *KEPT_OFFSETS):
            numbers, found = quoted[field], as_read(kept, quoted, field)
            size = 2 * np.abs(numbers - quoted["value"][..., None]) if field in KEPT_OFFSETS else np.abs(numbers)
            unit = (
                np.where(has[..., None], sigma[..., None], size)
                if field in KEPT_OFFSETS
                else np.where(has, sigma, size)
            )
            unit = np.abs(numbers) if field.startswith("sigma") else unit
            exact = (numbers == found) | (np.isnan(numbers) & np.isnan(found))
            assert (exact | (np.abs(found - numbers) <= 1e-7 * unit)).all(), field
            # The formula of the docs leaves out that an end at 0 stays there.
            assert (exact | (np.abs(by_hand(kept, quoted, field) - numbers) <= 4e-7 * unit)).all(), field
            if field in KEPT_OFFSETS:
                assert not (found[..., 0] > numbers[..., 0]).any()
                assert not (found[..., 1] < numbers[..., 1]).any()
                assert (found[numbers == 0] == 0).all()
                narrow, wide = (as_read(kept, quoted, field[:-2] + level) for level in ("68", "95"))
                was_in = quoted[field[:-2] + "95"][..., 0] <= quoted[field[:-2] + "68"][..., 0]
                assert (narrow[..., 0] >= wide[..., 0])[was_in].all()
    assert sum(map(np.count_nonzero, kept.full.values())) <= most * quoted["sigma"].size
    return kept


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e6, 1e30])
@pytest.mark.parametrize("far", [0.0, 1.0, 1e3, 1e9])
def test_gaussian_intervals_need_no_number_in_full(size, far):
    rng = np.random.default_rng(1)
    sigma = size * rng.uniform(0.5, 2, 10_000)
    value = size * far * rng.uniform(-1, 1, 10_000)
    ends = [np.stack([value - k * sigma, value + k * sigma], axis=1) for k in (1.0, 1.96)]
    kept = check(quoted_of(value, sigma, *ends, bias=rng.uniform(-1, 1, 10_000) * sigma))
    offsets = np.abs(kept.stored["interval95"][..., 0]) / sigma[:, None]
    assert offsets.max() < 1e-4  # so they are far more exact than float32 is of numbers of the size of σ


def test_skewed_intervals_are_kept_in_full_only_where_float32_has_too_few_digits():
    rng = np.random.default_rng(2)
    sigma, value = rng.uniform(0.5, 2, 20_000), rng.normal(size=20_000)
    low, high = rng.uniform(-1.6, 0, (2, 20_000)), rng.uniform(0, 2.5, (2, 20_000))
    ends = [np.stack([value + f * low[0] * sigma, value + f * high[0] * sigma], axis=1) for f in (0.6, 1.0)]
    kept = check(quoted_of(value, sigma, *ends, bias=3 * rng.normal(size=20_000) * sigma), most=1.0)
    wholly = np.abs(kept.stored["bias"])[..., 0] <= MOST_MOVED / HALF_DIGIT * sigma  # bound: half a digit of float32
    assert not (kept.full["bias"][..., 0] & wholly).any()
    assert kept.full["bias"].any()


def test_ends_at_a_fold_stay_at_zero_and_inside():
    """As at the fold of an angle, where both intervals begin at 0."""
    rng = np.random.default_rng(3)
    sigma = rng.uniform(0.5, 2, 5_000)
    value = np.abs(rng.normal(size=5_000)) * sigma
    nothing = np.zeros(5_000)
    ends = [np.stack([nothing, value + k * sigma], axis=1) for k in (1.0, 1.96)]
    check(quoted_of(value, sigma, *ends), most=0.1)


def test_intervals_with_the_same_ends_stay_within_each_other():
    """As of an observable that has a largest value, which both reach."""
    rng = np.random.default_rng(4)
    sigma, value = rng.uniform(0.1, 2, 5_000), rng.uniform(-1, 1, 5_000)
    ends = np.stack([np.minimum(value - sigma, -1), np.full(5_000, 1.0)], axis=1)
    check(quoted_of(value, sigma, ends, ends), most=8)


def test_whatever_the_numbers_are_they_are_right():
    """Every combination of what float32 holds and does not, as value, σ, bias and ends."""
    values = np.array([*HUGE, *(-each for each in HUGE[2:-1])])
    value, sigma, low = (each.ravel() for each in np.meshgrid(values, values, values))
    rng = np.random.default_rng(5)
    high = rng.permutation(low)
    low, high = np.where(low <= high, low, high), np.where(low <= high, high, low)
    ends = np.stack([low, high], axis=1)
    check(quoted_of(value, sigma, ends, ends, bias=rng.permutation(value), linear=rng.permutation(sigma)), most=20)


def test_without_a_standard_deviation_the_ends_are_kept():
    """As of points of closest approach whose tails are too heavy."""
    value, ends = np.array([1.0, -2.0]), np.array([[0.25, 3.0], [-1e3, np.inf]])
    kept = check(quoted_of(value, np.full(2, np.nan), ends, ends))
    assert not kept.full


def test_no_muon():
    kept = encode(quoted_of(np.empty(0), np.empty(0), np.empty((0, 2)), np.empty((0, 2))))
    assert not kept.full
    assert kept.stored["interval95"].shape == (0, 1, 2)
