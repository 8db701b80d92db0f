import math

import numpy as np
import pytest

from pullback.config import Validation
from pullback.validation import EMPTY, OUTSIDE, Tally, worst


def tally(muons=20_000, toys=400, per_muon=1000, seed=1, sigma_scale=1.0, noise=None, truth=True, **settings):
    """A point whose law is exactly linear: σ = 1, values from 0 to 100."""
    rng = np.random.default_rng(seed)
    at = np.linspace(0, 100, muons)
    value = at + (noise(rng, muons) if noise else rng.normal(size=muons))
    toy_muon = np.linspace(0, muons - 1, min(toys, muons)).astype(int)
    toy_sd = np.sqrt(rng.chisquare(per_muon - 1, len(toy_muon)) / (per_muon - 1))
    sigma = np.full(muons, sigma_scale)
    made = Tally(Validation(**settings), per_muon)
    made.add(value, sigma, np.full(muons, True), toy_muon, toy_sd, (at, sigma) if truth else None)
    return made


def test_an_honest_point_passes_with_the_right_numbers():
    result = tally().result()
    assert result["verdict"] == "pass"
    assert result["reasons"] == []
    domain = result["domain"]
    assert domain["share"] == pytest.approx(0.97, abs=0.001)
    assert domain["ratio"] == pytest.approx(1, abs=4 * domain["ratio_se"])
    assert domain["ratio_se"] == pytest.approx(1 / math.sqrt(2 * 388 * 999), rel=0.01)
    assert domain["pull_sd"] == pytest.approx(1, abs=0.02)
    assert domain["coverage68"] == pytest.approx(0.6827, abs=0.015)
    assert domain["scatter"] == pytest.approx(1, abs=0.15)
    assert [each["verdict"] for each in result["bins"]] == [OUTSIDE] * 4 + ["pass"] * 3
    assert [(each["low"], each["high"]) for each in result["bins"]] == [
        (0, 0.5),
        (0.5, 1),
        (1, 2),
        (2, 3),
        (3, 5),
        (5, 10),
        (10, math.inf),
    ]
    assert sum(each["muons"] for each in result["bins"]) == result["overall"]["muons"] == 20_000


@pytest.mark.parametrize(("scale", "verdict"), [(1.1, "fail"), (0.9, "fail"), (1.03, "pass")])
def test_a_wrong_sigma_fails_and_a_harmless_one_does_not(scale, verdict):
    assert tally(sigma_scale=scale, muons=100_000, toys=2000, per_muon=10_000).result()["verdict"] == verdict


def test_pull_moments_against_numpy():
    rng = np.random.default_rng(1)
    result = tally(seed=1).result()
    z = rng.normal(size=20_000)
    overall = result["overall"]
    assert overall["pull_mean"] == pytest.approx(z.mean(), abs=1e-12)
    assert overall["pull_sd"] == pytest.approx(z.std(ddof=1), rel=1e-12)
    assert overall["pull_rms"] == pytest.approx(math.sqrt((z**2).mean()), rel=1e-12)
    assert overall["coverage68"] == (np.abs(z) <= 1).mean()
    assert overall["coverage95"] == (np.abs(z) <= 1.96).mean()


def test_blocks_change_nothing():
    whole = tally().result()
    rng = np.random.default_rng(1)
    at = np.linspace(0, 100, 20_000)
    value = at + rng.normal(size=20_000)
    toy_muon = np.linspace(0, 19_999, 400).astype(int)
    toy_sd = np.sqrt(rng.chisquare(999, 400) / 999)
    made = Tally(Validation(), 1000)
    for start in range(0, 20_000, 7000):
        rows = slice(start, start + 7000)
        here = (toy_muon >= start) & (toy_muon < start + 7000)
        ones = np.ones(len(at[rows]))
        made.add(value[rows], ones, ones > 0, toy_muon[here] - start, toy_sd[here], (at[rows], ones))
    result = made.result()
    for key in ("ratio", "pull_sd", "pull_mean", "coverage68", "scatter", "scatter_local", "muons"):
        assert result["domain"][key] == pytest.approx(whole["domain"][key], rel=1e-12)


def test_strips_show_in_the_coverage_and_not_in_the_width():
    result = tally(noise=lambda rng, n: rng.uniform(-math.sqrt(3), math.sqrt(3), n)).result()
    assert result["domain"]["pull_sd"] == pytest.approx(1, abs=0.01)
    assert result["domain"]["coverage68"] == pytest.approx(0.577, abs=0.02)


def test_without_truth_there_are_no_pulls():
    result = tally(truth=False).result()
    assert result["verdict"] == "pass"
    assert result["domain"]["pull_sd_verdict"] is None
    assert "pull_sd" not in result["domain"]


@pytest.mark.parametrize("muons", [1, 2])
def test_no_pulls_is_no_pass(muons):
    made = Tally(Validation(), 100_000)
    at, sigma = np.full(muons, 50.0), np.ones(muons)
    made.add(at, sigma, sigma > 0, np.arange(muons), np.ones(muons), (at, sigma))
    result = made.result()
    assert result["verdict"] == ("inconclusive" if muons == 1 else "fail")  # two equal pulls have no width
    assert result["reasons"]


def test_an_inconclusive_point_says_what_would_settle_it():
    result = tally(per_muon=20, toys=100).result()
    assert result["verdict"] == "inconclusive"
    (advice,) = (each for each in result["more"] if "toys.per_muon" in each)
    needed = int(advice.split(" to ")[1].split()[0])
    assert needed > 20
    settled = [tally(per_muon=needed, toys=100, seed=seed).result() for seed in range(10)]
    assert sum(each["verdict"] != "inconclusive" for each in settled) >= 5


def test_the_advice_is_as_many_toys_as_the_interval_needs():
    result = tally(per_muon=20, toys=100).result()
    (needed,) = (int(each.split(" to ")[1].split()[0]) for each in result["more"] if "toys.per_muon" in each)
    worst_bin = max((each for each in result["bins"] if each["verdict"] == "inconclusive"), key=lambda e: e["factor"])
    distance = min(abs(worst_bin["ratio"] - 0.95), abs(worst_bin["ratio"] - 1.05))
    half = max(worst_bin["ratio_high"] - worst_bin["ratio"], worst_bin["ratio"] - worst_bin["ratio_low"])
    assert needed == pytest.approx(1 + 19 * (half / distance) ** 2, abs=1.01)


@pytest.mark.parametrize(("tolerance", "verdict"), [(0.001, "inconclusive"), (0.05, "pass"), (0.2, "pass")])
def test_the_tolerance_is_that_of_the_config(tolerance, verdict):
    assert tally(tolerance=tolerance).result()["verdict"] == verdict
    assert (
        tally(sigma_scale=1.1, muons=100_000, toys=2000, per_muon=10_000, tolerance=0.2).result()["verdict"] == "pass"
    )


def test_the_confidence_is_that_of_the_config():
    def width(confidence, name):
        domain = tally(confidence=confidence).result()["domain"]
        return domain[f"{name}_high"] - domain[f"{name}_low"]

    for name in ("ratio", "pull_sd", "coverage68", "scatter"):
        assert width(0.99, name) / width(0.6827, name) == pytest.approx(2.576, rel=0.05)


def test_pulls_are_in_units_of_sigma_at_the_recorded_hit():
    made = Tally(Validation(), 100)
    at, value = np.array([10.0, 20.0, 30.0]), np.array([12.0, 18.0, 33.0])
    sigma, sigma_at = np.array([2.0, 4.0, 1.5]), np.ones(3)
    made.add(value, sigma, sigma > 0, np.array([0]), np.ones(1), (at, sigma_at))
    assert made.result()["overall"]["pull_mean"] == pytest.approx((1.0 - 0.5 + 2.0) / 3)


@pytest.mark.parametrize(("scatter", "verdict"), [(0.6, "fail"), (0.74, "fail"), (0.85, "pass"), (1.5, "pass")])
def test_the_scatter_fails_below_eight_tenths(scatter, verdict):
    rng, muons = np.random.default_rng(1), 20_000
    made, at, sigma = Tally(Validation(), 10_000), np.linspace(3, 100, muons), np.ones(muons)
    sd = 1 + scatter * rng.normal(size=muons) / math.sqrt(2 * 9999)
    made.add(at + rng.normal(size=muons), sigma, sigma > 0, np.arange(muons), sd, (at, sigma))
    assert made.result()["domain"]["scatter_verdict"] == verdict


def test_few_toy_muons_are_not_judged_by_their_scatter():
    verdicts = [tally(toys=10, seed=seed).result()["domain"]["scatter_verdict"] for seed in range(50)]
    assert set(verdicts) == {None}


def test_a_bin_without_toys_is_inconclusive():
    made = Tally(Validation(), 1000)
    at, sigma = np.array([4.0, 50.0] * 5000), np.ones(10_000)
    rng = np.random.default_rng(1)
    made.add(at + rng.normal(size=10_000), sigma, sigma > 0, np.array([1, 3]), np.array([1.0, 1.01]), (at, sigma))
    result = made.result()
    assert result["verdict"] == "inconclusive"
    assert "no toys at 3 ≤ θ/σ < 5" in result["reasons"][0]
    assert [each["verdict"] for each in result["bins"]][-3:] == ["inconclusive", EMPTY, "pass"]


def test_nothing_in_the_domain_is_no_pass():
    result = tally(domain=1000.0).result()
    assert result["verdict"] == "inconclusive"
    assert result["reasons"] == ["no muons in the linear domain"]


def test_the_domain_is_an_edge_of_the_bins():
    result = tally(domain=4.0).result()
    assert [each["low"] for each in result["bins"] if each["verdict"] != OUTSIDE] == [4, 5, 10]


def test_shared_noise_is_seen_in_the_scatter_also_where_the_law_bends():
    made = Tally(Validation(), 100_000)
    at = np.linspace(3, 100, 2000)
    bent = 1 + 0.01 * at / 100  # a drift wider than the toys' own scatter of 0.0022
    sigma, rng = np.ones(2000), np.random.default_rng(1)
    made.add(at + rng.normal(size=2000), sigma, sigma > 0, np.arange(2000), bent, (at, sigma))
    result = made.result()
    assert result["domain"]["scatter"] > 1
    assert result["domain"]["scatter_local"] < 0.1
    assert result["domain"]["scatter_verdict"] == "fail"
    assert result["verdict"] == "fail"


def test_failed_muons_are_counted_and_left_out():
    made = Tally(Validation(), 10)
    value = np.array([1.0, np.nan, np.nan, 50.0, 60.0, 70.0, 80.0])
    sigma = np.array([1.0, np.nan, 1.0, 0.0, -1.0, np.nan, 1.0])
    finite = np.array([True, False, True, True, True, True, True])
    made.add(value, sigma, finite, np.array([0, 3, 6]), np.array([1.0, 1.0, np.nan]))
    result = made.result()
    assert result["counts"] == {
        "muons": 7,
        "hit_not_finite": 1,
        "value_not_finite": 1,
        "sigma_zero_or_nan": 2,
        "sigma_negative": 1,
        "toys_without_spread": 2,
    }
    assert result["overall"]["muons"] == 2
    assert result["overall"]["share"] == 2 / 7
    assert result["verdict"] == "fail"
    assert "1 muons have a negative σ" in result["reasons"]


def test_worst():
    assert worst(["pass", OUTSIDE]) == "pass"
    assert worst(["pass", "inconclusive"]) == "inconclusive"
    assert worst(["inconclusive", "fail", "pass"]) == "fail"
    assert worst([OUTSIDE, EMPTY]) == "inconclusive"


@pytest.mark.parametrize("muons", [5, 20, 200])
def test_the_interval_of_the_pull_sd_covers(muons):
    """95 % intervals hold the true width for at least 93 of 100 samples, small ones too."""
    inside = 0
    for seed in range(600):
        rng = np.random.default_rng(seed)
        made, at, sigma = Tally(Validation(), 10), np.full(muons, 50.0), np.ones(muons)
        made.add(at + rng.normal(size=muons), sigma, sigma > 0, np.array([0]), np.ones(1), (at, sigma))
        domain = made.result()["domain"]
        inside += domain["pull_sd_low"] <= 1 <= domain["pull_sd_high"]
    assert inside / 600 > 0.93
