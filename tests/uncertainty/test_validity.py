import math
from decimal import ROUND_HALF_UP, Decimal
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from jcgm import CASES
from scipy.stats import kurtosis, norm

from pullback import linear_valid, numerical_tolerance
from pullback.statistics.normal import K95
from pullback.uncertainty.validity import contradicted

DOUBLE = torch.float64


@pytest.mark.parametrize(
    ("u", "n_dig", "delta"),
    [
        (0.0040185, 1, 0.0005),
        (0.0040185, 2, 0.00005),
        (1.0, 1, 0.5),
        (1.0, 2, 0.05),
        (0.00001, 2, 0.0000005),  # JCGM 101:2008, 7.9.2, example 1: 0.000 01 g is 10 · 10⁻⁶ in two digits
        (2.0, 1, 0.5),  # and example 2
        (0.94, 1, 0.05),
        (0.96, 1, 0.5),  # is 1 in one digit
        (9.4, 1, 0.5),
        (9.6, 1, 5.0),
        (0.0994, 2, 0.0005),
        (0.0996, 2, 0.005),
        (123456.0, 3, 500.0),
        (1e-12, 1, 5e-13),
        (3e250, 1, 5e249),
        (0.0, 1, 0.0),
    ],
)
def test_delta(u, n_dig, delta):
    assert numerical_tolerance(torch.tensor(u, dtype=DOUBLE), n_dig).item() == pytest.approx(delta, rel=1e-12)


@given(st.floats(1e-290, 1e290), st.integers(1, 4))
@example(0.001, 1)
@example(1e-5, 2)
@example(1e23, 1)
def test_delta_is_half_of_the_last_digit_as_it_is_printed(u, n_dig):
    rounded = Decimal(u)
    place = rounded.adjusted() - n_dig + 1
    rounded = rounded.quantize(Decimal((0, (1,), place)), rounding=ROUND_HALF_UP) if n_dig < 20 else rounded
    place = rounded.adjusted() - n_dig + 1
    if abs(Decimal(u) / Decimal((0, (1,), place)) - Decimal(10) ** n_dig + Decimal("0.05")) < Decimal("1e-9"):
        return  # between the two, to rounding
    assert numerical_tolerance(torch.tensor([u], dtype=DOUBLE), n_dig).item() == pytest.approx(
        0.5 * 10.0**place, rel=1e-9
    )


def test_delta_of_what_is_no_number():
    assert numerical_tolerance(torch.tensor([math.nan, 1.0])).isnan().tolist() == [True, False]
    assert numerical_tolerance(torch.tensor([[2.0]])).dtype == torch.float32


@pytest.mark.parametrize("n_dig", [0, -1])
def test_a_digit_at_least(n_dig):
    with pytest.raises(ValueError, match="n_dig must be at least 1"):
        numerical_tolerance(torch.ones(1), n_dig)


def judged(y=0.0, u=8.0, sd=None, low=0.0, high=0.0, n_dig=1):
    """With ends that are off by low and high from the linear ones."""
    each = lambda value: torch.tensor([[value]], dtype=DOUBLE)  # noqa: E731
    ends = torch.tensor([[[y - K95 * u + low, y + K95 * u + high]]], dtype=DOUBLE)
    return linear_valid(each(y), each(u), each(u if sd is None else sd), ends, n_dig).item()


@pytest.mark.parametrize("y", [0.0, 100.0, -3.0])
@pytest.mark.parametrize(("n_dig", "delta"), [(1, 0.5), (2, 0.05), (3, 0.005)])
def test_both_ends_are_held_to_delta(y, n_dig, delta):
    for sign in (-1, 1):
        near, far = sign * 0.999 * delta, sign * 1.001 * delta
        assert judged(y, low=near, high=near, n_dig=n_dig)
        assert judged(y, low=near, high=-near, n_dig=n_dig)
        assert not judged(y, low=far, n_dig=n_dig)
        assert not judged(y, high=far, n_dig=n_dig)


@pytest.mark.parametrize("u", [1.0, 1.4, 4.0, 9.4])
def test_sigma_is_held_to_five_per_cent(u):
    """Whatever δ: where the first digit of u is 1, δ alone would let pass much more."""
    for sign in (-1, 1):
        assert judged(u=u, sd=u / (1 + sign * 0.0499))
        assert not judged(u=u, sd=u / (1 + sign * 0.0501))


@pytest.mark.parametrize("u", [1.0, 1.4, 2.0, 4.4])
def test_ends_are_held_to_five_per_cent_of_the_half_width(u):
    """Of the right interval, where δ alone would let pass more."""
    for sign in (-1, 1):
        near, far = (sign * share * K95 * u for share in (0.0499, 0.0501))
        assert judged(u=u, low=near, high=near)
        assert not judged(u=u, low=far, high=far)
    assert judged(u=u, low=0.05 / 1.05 * K95 * u * 0.999, high=-0.05 / 1.05 * K95 * u * 0.999)
    assert not judged(u=u, low=0.05 / 1.05 * K95 * u * 1.001, high=-0.05 / 1.05 * K95 * u * 1.001)


def test_a_rectangular_quantity_that_dominates_is_not_linear():
    """JCGM 101:2008, 9.2.4: linear 95 % interval ± 19.9, right interval ± 17.0, u = 10.1 in both and δ = 5."""
    case = CASES["S1-9.2.4 additive rectangular one x10"]["published"]
    y, u = (torch.tensor([[case[name]]], dtype=DOUBLE) for name in ("value", "u"))
    ends = torch.tensor([[case["interval"]]], dtype=DOUBLE)
    assert (K95 * u).item() == pytest.approx(case["guf_interval"][1], abs=0.15)
    assert (K95 * u - ends[0, 0, 1]).item() < numerical_tolerance(u).item()
    assert not linear_valid(y, u, u, ends).item()


def test_what_is_not_known_is_not_linear():
    assert judged()
    for name in ("y", "u", "sd", "low", "high"):
        assert not judged(**{name: math.nan})


def test_no_uncertainty():
    assert judged(u=0.0)
    assert not judged(u=0.0, sd=1e-9)
    assert not judged(u=0.0, high=1e-9)


def by_toys(ok, low=0.0, high=0.0, error=0.01, width=1.0, width_error=0.001, u=8.0):
    """What toys say of a muon of σ = 8, so that δ = 0.5: their ends are off by low and high, their sd by a factor."""
    law = np.array([[[100 - K95 * u + low, error], [100 + K95 * u + high, error]]])
    sd = np.array([[u / width, u / width * width_error]])
    found = contradicted(np.array([ok]), np.array([100.0]), np.array([u]), sd, law, np.array([10**8]), 1)
    return tuple(each.item() for each in found)


@pytest.mark.parametrize("sign", [-1, 1])
def test_toys_contradict_by_more_than_six_standard_errors(sign):
    for far in ({"low": sign * 0.561}, {"high": sign * 0.561}, {"width": 1 + sign * 0.0561}):
        assert by_toys(True, **far) == (True, True, True)
        assert by_toys(False, **far) == (False, True, False)
    for unsure in ({"low": sign * 0.559}, {"high": sign * 0.559}):
        assert by_toys(True, **unsure) == (False, True, True)
    assert by_toys(True, width=1 + sign * 0.0559) == (False, True, False)


@pytest.mark.parametrize("sign", [-1, 1])
def test_toys_contradict_that_the_law_does_not_hold_where_all_is_surely_right(sign):
    near, unsure = sign * 0.439, sign * 0.441
    assert by_toys(False, near, near, width=1 + sign * 0.0439) == (True, True, True)
    for off in ({"low": unsure}, {"high": unsure}, {"width": 1 + sign * 0.0441}):
        assert by_toys(False, **off) == (False, True, True)
        assert by_toys(True, **off) == (False, True, False)


def test_toys_can_tell_where_delta_is_two_and_a_half_standard_errors_of_both_ends():
    assert by_toys(True, error=0.199) == (False, True, False)
    assert by_toys(True, error=0.201) == (False, False, False)
    assert by_toys(True, low=0.6, error=0.201) == (False, False, False)
    assert by_toys(True, low=0.6, error=0.199) == (False, True, True)


@pytest.mark.parametrize("sign", [-1, 1])
def test_toys_hold_ends_to_five_per_cent_of_the_half_width_too(sign):
    """0.098 of σ = 1, for which δ is 0.5."""
    narrow = partial(by_toys, u=1.0, error=0.001)
    assert narrow(True, sign * 0.1045, sign * 0.1045) == (True, True, True)
    assert narrow(True, sign * 0.1035, sign * 0.1035) == (False, True, True)
    assert narrow(False, sign * 0.0915, sign * 0.0915) == (True, True, True)
    assert narrow(False, sign * 0.0925, sign * 0.0925) == (False, True, True)
    assert narrow(True, error=0.0391) == (False, True, False)
    assert narrow(True, error=0.0393) == (False, False, False)


def test_toys_without_a_spread_contradict_a_sigma_and_confirm_none():
    assert by_toys(True, width=math.inf, width_error=0.0) == (True, True, True)
    assert by_toys(False, width=math.inf, width_error=0.0) == (False, True, False)


def gaussian_muons(muons, toys, sd=1.0, u=0.94):
    """Which of the muons their toys contradict, exactly Gaussian and `sd` times as wide as quoted; δ is 0.05."""
    rng, value, p = np.random.default_rng(7), 3.0, norm.cdf([-K95, K95])
    found = []
    for _ in range(muons // 200):
        thrown = np.sort(value + sd * u * rng.standard_normal((200, toys)), axis=1)
        ends, above, below = (
            np.quantile(thrown, p + k * np.sqrt(p * (1 - p) / toys), axis=1, method="hazen") for k in (0, 1, -1)
        )
        ends95 = np.stack([ends, (above - below) / 2], axis=2).swapaxes(0, 1)
        spread, excess = thrown.std(axis=1, ddof=1), kurtosis(thrown, axis=1)
        spread_error = spread * np.sqrt((2 / (toys - 1) + excess / toys).clip(min=0)) / 2
        every = np.ones(200)
        spreads = np.stack([spread, spread_error], axis=1)
        of = (every > 0, value * every, u * every, spreads, ends95, np.full(200, toys))
        found.append(contradicted(*of, 1)[0])
    return np.concatenate(found)


def test_few_toys_contradict_no_muon_that_is_exactly_linear():
    """The standard error of an end, estimated from 1 000 toys, is several times too small now and then.

    By it alone toys contradict 2e-4 of the muons. The chance of six true ones is 3e-9, by the binomial distribution.
    """
    assert not gaussian_muons(20_000, 1000).any()


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_toys_contradict_a_muon_whose_uncertainty_is_off_by_a_fifth(factor):
    assert gaussian_muons(200, 10_000, sd=1 / factor).all()
