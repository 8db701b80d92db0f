import math
from typing import NamedTuple

import numpy as np
import pytest
from running import slow
from scipy.stats import kurtosis, norm
from typechecker import unchecked

from pullback.config.schema import ToySettings, Validation
from pullback.statistics.intervals import Verdict, sd_interval
from pullback.statistics.normal import K95
from pullback.validation.bin_sums import Muons, Placed, Tally, ToyMuons, Truth, distance, edges
from pullback.validation.csv_tables import columns
from pullback.validation.estimates import worst
from pullback.validation.evidence import OFFSETS, NotJudged
from pullback.validation.judgement import FEWEST_FOR_SCATTER, Judge, _rms
from pullback.validation.reasons import NEVER, singular

K = np.array([-1.0, 1.0, -K95, K95])
"""The ends of both intervals of a unit Gaussian."""


class Judged:
    """A tally of one σ of one observable, and the judgement on it."""

    def __init__(self, kind, per_muon, mode="fixed", **settings):
        self.settings, self.toys = Validation(**settings), ToySettings(per_muon=per_muon, mode=mode)
        self.tally = Tally(kind, edges(self.settings.domain), 1)

    def add(self, muons, toys, truth=None):
        """Add muons, and the toys thrown around some of their rows."""
        row, toys = toys
        placed = Placed(muons.value, muons.hit_finite, muons.distance, truth, self.tally.edges)
        self.tally.add(muons, placed)
        self.tally.add_toys(Muons(*(each[row] for each in muons)), toys)

    def result(self):
        return Judge(self.tally, self.settings, self.toys, 1).result()


class Thrown(NamedTuple):
    """Toys, and the rows of the muons that they are thrown around."""

    row: np.ndarray
    toys: ToyMuons


def toys_of(rng, row, per_muon, value, ends=K, bias=0.0):
    """Toys of a unit Gaussian around the muons of some rows: what so many toys say, with the errors that they have."""
    sd = np.sqrt(rng.chisquare(per_muon - 1, len(row)) / (per_muon - 1))
    probability = norm.cdf(K)
    error = np.tile(np.sqrt(probability * (1 - probability) / per_muon) / norm.pdf(K), (len(row), 1))
    found = value[row, None] + ends + error * rng.normal(size=(len(row), 4))
    toys = ToyMuons(
        number=np.full(len(row), per_muon),
        settled=np.ones(len(row)),
        mean=value[row] + bias + rng.normal(size=len(row)) / math.sqrt(per_muon),
        sd=sd,
        sd_error=sd / math.sqrt(2 * (per_muon - 1)),
        interval68=found[:, :2],
        interval68_error=error[:, :2],
        interval95=found[:, 2:],
        interval95_error=error[:, 2:],
    )
    return Thrown(row, toys)


def muons_of(value, sigma, sigma_linear=None, finite=None, linear_valid=None, without_sd=None):
    """Muons whose intervals are those of a Gaussian of their σ."""
    low68, high68, low95, high95 = (value + k * sigma for k in K)
    sigma_linear = sigma if sigma_linear is None else sigma_linear
    return Muons(
        value=value,
        hit_finite=np.full(len(value), True) if finite is None else finite,
        distance=distance(value, sigma_linear),
        without_sd=np.zeros(len(value), bool) if without_sd is None else without_sd,
        sigma_linear=sigma_linear,
        linear_valid=np.ones(len(value)) if linear_valid is None else linear_valid,
        sigma=sigma,
        bias=np.zeros(len(value)),
        interval68=np.stack([low68, high68], axis=1),
        interval95=np.stack([low95, high95], axis=1),
    )


def tally(
    muons=20_000,
    toys=400,
    per_muon=1000,
    seed=1,
    sigma_scale=1.0,
    noise=None,
    truth=True,
    kind="linear",
    ends=K,
    bias=0.0,
    mode="fixed",
    **settings,
):
    """A point whose law is exactly linear: σ = 1, values from 0 to 100."""
    rng = np.random.default_rng(seed)
    at = np.linspace(0, 100, muons)
    value = at + (noise(rng, muons) if noise else rng.normal(size=muons))
    row = np.linspace(0, muons - 1, min(toys, muons)).astype(int)
    sigma = np.full(muons, sigma_scale)
    made = Judged(kind, per_muon, mode, **settings)
    made.add(
        muons_of(value, sigma),
        toys_of(rng, row, per_muon, value, ends, bias),
        Truth(at, distance(at, sigma)) if truth else None,
    )
    return made


def few(kind="linear", per_muon=100, **settings):
    """An empty tally."""
    return Judged(kind, per_muon, **settings)


def wanted(result, key):
    """The value of a key that would decide."""
    (value,) = (each.value for each in result.remedies if each.key == key)
    return round(value) if value >= 1 else value


@pytest.mark.parametrize(("kind", "in_a_bin", "besides"), [("quoted", 2 + 2 * len(OFFSETS), 0), ("linear", 1, 1)])
def test_an_interval_that_fails_is_wider_by_how_many_numbers_are_judged(kind, in_a_bin, besides):
    """In each bin of the quoted σ all that toys measure; of the linear one its ratio, and once the pulls."""
    made = few(kind, confidence=0.9)
    bins = len(made.tally.edges) - 1
    for among in (1, 7):
        found = Judge(made.tally, made.settings, made.toys, among).criteria.confidence_to_fail
        assert 1 - found == pytest.approx(0.1 / (among * (bins * in_a_bin + besides)), rel=1e-9)


def test_an_honest_point_passes_with_the_right_numbers():
    result = tally().result()
    assert result.verdict == "pass"
    assert result.reasons == []
    domain = result.domain
    assert domain.share == pytest.approx(0.97, abs=0.001)
    assert domain.ratio.value == pytest.approx(1, abs=4 * domain.ratio.se)
    assert domain.ratio.se == pytest.approx(1 / math.sqrt(2 * 388 * 999), rel=0.01)
    assert domain.pulls.sd.value == pytest.approx(1, abs=0.02)
    assert domain.pulls.coverage68.value == pytest.approx(0.6827, abs=0.015)
    assert domain.scatter.all.value == pytest.approx(1, abs=0.15)
    assert [each.verdict for each in result.bins] == [NotJudged.OUTSIDE] * 4 + ["pass"] * 3
    assert [(each.low, each.high) for each in result.bins] == [
        (0, 0.5),
        (0.5, 1),
        (1, 2),
        (2, 3),
        (3, 5),
        (5, 10),
        (10, math.inf),
    ]
    assert sum(each.muons for each in result.bins) == result.overall.muons == 20_000


@pytest.mark.parametrize(("scale", "verdict"), [(1.1, "fail"), (0.9, "fail"), (1.03, "pass")])
def test_a_wrong_sigma_fails_and_a_harmless_one_does_not(scale, verdict):
    assert tally(sigma_scale=scale, muons=100_000, toys=2000, per_muon=10_000).result().verdict == verdict


def test_pull_moments_against_numpy():
    rng = np.random.default_rng(1)
    result = tally(seed=1).result()
    z = rng.normal(size=20_000)
    overall = result.overall
    assert overall.pulls.mean.value == pytest.approx(z.mean(), abs=1e-12)
    assert overall.pulls.sd.value == pytest.approx(z.std(ddof=1), rel=1e-12)
    assert overall.pulls.rms == pytest.approx(math.sqrt((z**2).mean()), rel=1e-12)
    assert overall.pulls.coverage68.value == (np.abs(z) <= 1).mean()
    assert overall.pulls.coverage95.value == (np.abs(z) <= 1.96).mean()


@pytest.mark.parametrize("kind", ["linear", "quoted"])
def test_blocks_change_nothing(kind):
    rng = np.random.default_rng(1)
    at = np.linspace(0, 100, 20_000)
    value, sigma = at + rng.normal(size=20_000), np.ones(20_000)
    row = np.linspace(0, 19_999, 400).astype(int)
    toys = toys_of(rng, row, 1000, value).toys
    results = []
    for step in (20_000, 7000):
        made = few(kind)
        for start in range(0, 20_000, step):
            rows = slice(start, start + step)
            here = (row >= start) & (row < start + step)
            block = Thrown(row[here] - start, ToyMuons(*(each[here] for each in toys)))
            made.add(muons_of(value[rows], sigma[rows]), block, Truth(at[rows], at[rows]))
        results.append(made.result().domain)
    whole, _ = results
    assert None not in (whole.ratio, whole.pulls, whole.offsets.high95.mean)
    whole, pieces = (columns(each, kind, recorded=False) for each in results)
    for key, each in whole.items():
        assert pieces[key] == (pytest.approx(each, rel=1e-12, abs=1e-12) if isinstance(each, float) else each)


def test_strips_show_in_the_coverage_and_not_in_the_width():
    result = tally(noise=lambda rng, n: rng.uniform(-math.sqrt(3), math.sqrt(3), n)).result()
    assert result.domain.pulls.sd.value == pytest.approx(1, abs=0.01)
    assert result.domain.pulls.coverage68.value == pytest.approx(0.577, abs=0.02)


def test_without_truth_there_are_no_pulls():
    result = tally(truth=False).result()
    assert result.verdict == "pass"
    assert result.domain.pull_sd_verdict is None
    assert result.domain.pulls is None


@pytest.mark.parametrize("muons", [1, 2])
def test_no_pulls_is_no_pass(muons):
    at, sigma = np.full(muons, 50.0), np.ones(muons)
    made = few()
    made.add(muons_of(at, sigma), toys_of(np.random.default_rng(1), np.arange(muons), 100_000, at), Truth(at, at))
    result = made.result()
    # Two equal pulls have no width. It is a question of the truth, and decides nothing here.
    assert result.domain.pull_sd_verdict == ("inconclusive" if muons == 1 else "fail")
    assert not [reason for reason in result.reasons if "pull" in reason]


def test_an_inconclusive_point_says_what_would_settle_it():
    result = tally(per_muon=20, toys=100).result()
    assert result.verdict == "inconclusive"
    needed = wanted(result, "toys.per_muon")
    assert needed > 20
    settled = [tally(per_muon=needed, toys=100, seed=seed).result() for seed in range(20)]
    # In some, the smallest bin has fewer muons with toys.
    assert [each.verdict for each in settled].count("pass") >= 19


@pytest.mark.parametrize(("per_muon", "toys"), [(20, 30), (150, 1), (150, 10), (250, 10)])
def test_as_many_toys_as_are_advised_decide_about_the_quoted_sigma(per_muon, toys):
    """Also where there are too few to tell any end of an interval."""
    needed = wanted(tally(kind="quoted", per_muon=per_muon, toys=toys).result(), "toys.per_muon")
    settled = [tally(kind="quoted", per_muon=needed, toys=toys, seed=seed).result() for seed in range(20)]
    with_toys = [each.verdict for result in settled for each in result.bins if each.toy_muons]
    assert len(with_toys) >= 20
    assert with_toys.count("pass") >= len(with_toys) - 1


def test_bins_without_toys_want_more_muons_with_toys():
    few_toys = tally(kind="quoted", toys=3, per_muon=10_000)
    few_toys.toys = few_toys.toys.model_copy(update={"muons": 3})
    assert wanted(few_toys.result(), "toys.muons") == 2000
    few_muons = tally(kind="quoted", muons=300, toys=3, per_muon=10_000)
    few_muons.toys = few_muons.toys.model_copy(update={"muons": 3})
    assert wanted(few_muons.result(), "toys.muons") == 300  # there are no more


@pytest.mark.parametrize(("tolerance", "verdict"), [(0.001, "inconclusive"), (0.05, "pass"), (0.2, "pass")])
def test_the_tolerance_is_that_of_the_config(tolerance, verdict):
    assert tally(tolerance=tolerance).result().verdict == verdict
    assert tally(sigma_scale=1.1, muons=100_000, toys=2000, per_muon=10_000, tolerance=0.2).result().verdict == "pass"


def test_the_confidence_is_that_of_the_config():
    def widths(confidence):
        domain = tally(confidence=confidence).result().domain
        estimates = (domain.ratio, domain.pulls.sd, domain.pulls.coverage68, domain.scatter.all)
        return np.array([each.high - each.low for each in estimates])

    assert widths(0.99) / widths(0.6827) == pytest.approx(2.576, rel=0.05)


def test_pulls_are_in_units_of_sigma_at_the_recorded_hit():
    at, value = np.array([10.0, 20.0, 30.0]), np.array([12.0, 18.0, 33.0])
    sigma, sigma_at = np.array([2.0, 4.0, 1.5]), np.ones(3)
    made = few()
    toys = toys_of(np.random.default_rng(1), np.array([0]), 100, value)
    made.add(muons_of(value, sigma), toys, Truth(at, distance(at, sigma_at)))
    assert made.result().overall.pulls.mean.value == pytest.approx((1.0 - 0.5 + 2.0) / 3)


@pytest.mark.parametrize(("scatter", "verdict"), [(0.6, "fail"), (0.74, "fail"), (0.85, "pass"), (1.5, "pass")])
def test_the_scatter_fails_below_eight_tenths(scatter, verdict):
    rng, muons = np.random.default_rng(1), 20_000
    made, at, sigma = few(), np.linspace(3, 100, muons), np.ones(muons)
    sd = 1 + scatter * rng.normal(size=muons) / math.sqrt(2 * 9999)
    value = at + 0.01 * rng.normal(size=muons)
    toys = toys_of(rng, np.arange(muons), 10_000, value).toys._replace(sd=sd, sd_error=sd / math.sqrt(2 * 9999))
    made.add(muons_of(value, sigma), Thrown(np.arange(muons), toys), Truth(at, at))
    assert made.result().domain.scatter.verdict == verdict


def test_one_number_of_many_that_is_far_off_by_chance_is_no_fail():
    """Of small honest samples, with 42 numbers judged in each, hardly one fails."""
    with unchecked():
        verdicts = [tally(kind="quoted", per_muon=400, toys=60, seed=seed).result().verdict for seed in range(200)]
    assert verdicts.count("fail") <= 10


def test_few_toy_muons_are_not_judged_by_their_scatter():
    assert {tally(toys=10, seed=seed).result().domain.scatter for seed in range(50)} == {None}


def test_a_bin_without_toys_is_inconclusive():
    made, rng = few(), np.random.default_rng(1)
    at, sigma = np.array([4.0, 50.0] * 5000), np.ones(10_000)
    value = at + rng.normal(size=10_000)
    made.add(muons_of(value, sigma), toys_of(rng, np.array([1, 3]), 10_000, value), Truth(at, at))
    result = made.result()
    assert result.verdict == "inconclusive"
    assert "no toys at 3 ≤ θ/σ < 5" in result.reasons[0]
    of_point, of_line = (Judge(made.tally, made.settings, made.toys, 1, place).result() for place in ("θ_msc/σ", ""))
    assert of_point.reasons[0] == "no toys at 3 ≤ θ_msc/σ < 5"
    assert of_line.reasons[0] == "no toys"
    # Recorded hits of muons at 4 σ are beyond 5 σ, too, where no true one is.
    assert [(each.verdict, each.muons) for each in result.bins][-2:] == [("inconclusive", 0), ("pass", 5000)]
    made.add(muons_of(np.array([7.0]), np.ones(1)), toys_of(rng, np.array([0]), 10_000, np.array([7.0])))
    assert made.result().bins[-2].verdict == "pass"
    assert few().result().bins[-1].verdict == NotJudged.NOT_LINEAR


def test_a_linear_sigma_that_is_quoted_nowhere_decides_nothing():
    result = tally(domain=1000.0).result()
    assert result.verdict == "pass"
    assert result.reasons == result.remedies == []
    assert {each.verdict for each in result.bins} <= {NotJudged.OUTSIDE, NotJudged.NOT_LINEAR}


def test_the_domain_is_an_edge_of_the_bins():
    result = tally(domain=4.0).result()
    assert [each.low for each in result.bins if each.verdict != NotJudged.OUTSIDE] == [4, 5, 10]


def test_shared_noise_is_seen_in_the_scatter_also_where_the_law_bends():
    at = np.linspace(3, 100, 2000)
    bent = 1 + 0.01 * at / 100  # a drift wider than the toys' own scatter of 0.0022
    made, sigma, rng = few(), np.ones(2000), np.random.default_rng(1)
    toys = toys_of(rng, np.arange(2000), 100_000, at).toys._replace(sd=bent)
    made.add(muons_of(at, sigma), Thrown(np.arange(2000), toys), Truth(at - rng.normal(size=2000), at))
    result = made.result()
    assert result.domain.scatter.all.value > 1
    assert result.domain.scatter.local.value < 0.1
    assert result.domain.scatter.verdict == "fail"
    assert result.verdict == "fail"


@pytest.mark.parametrize("kind", ["linear", "quoted"])
def test_failed_muons_are_counted_and_left_out(kind):
    made = few(kind, per_muon=10)
    value = np.array([1.0, np.nan, np.nan, 50.0, 60.0, 70.0, 80.0])
    sigma = np.array([1.0, np.nan, 1.0, 0.0, -1.0, np.nan, 1.0])
    finite = np.array([True, False, True, True, True, True, True])
    toys = toys_of(np.random.default_rng(1), np.array([0, 3, 6]), 10, value)
    toys.toys.sd[2] = np.nan
    made.add(muons_of(value, sigma, finite=finite), toys)
    result = made.result()
    assert result.counts.model_dump() == {
        "muons": 7,
        "hit_not_finite": 1,
        "value_not_finite": 1,
        "no_true_value": 0,
        "no_standard_deviation": 0,
        "sigma_negative": 1,
        "sigma_zero_or_nan": 2,
        "interval_unusable": 0,
        "sigma_not_linear": 0,
        "without_sd_tested": 0,
        "sd_withheld": 0,
        "toys_contradict": 0,
        "toys_can_tell": 0,
        "toys_disagree": 0,
        "toys_without_spread": 2,
        "toys_unsettled": 0,
    }
    assert result.overall.muons == 2
    assert result.overall.share == 2 / 7
    assert result.verdict == "fail"
    assert "1 muon has a negative σ" in result.reasons
    # A σ that can't be quoted is no fault of the linear law, and one of what is quoted.
    assert ("2 muons have no σ" in "; ".join(result.reasons)) == (kind == "quoted")


def withheld(excess, per_muon=10_000):
    """The reasons of a point with muons without a standard deviation, whose toys have these excess kurtoses."""
    muons, excess = len(excess), np.asarray(excess, float)
    made, value = few("quoted", per_muon=per_muon), np.full(muons, 50.0)
    found = toys_of(np.random.default_rng(1), np.arange(muons), per_muon, value)
    found.toys.sd_error[:] = found.toys.sd / 2 * np.sqrt(2 / (per_muon - 1) + excess / per_muon)
    without = muons_of(value, np.full(muons, np.nan), np.ones(muons), linear_valid=np.zeros(muons))
    ends = muons_of(value, np.ones(muons))
    without = without._replace(without_sd=np.ones(muons, bool), interval68=ends.interval68, interval95=ends.interval95)
    made.add(without, found)
    result = made.result()
    assert result.counts.without_sd_tested == muons
    return [each for each in result.reasons if "tails" in each]


def test_a_single_muon_without_tails_does_not_decide():
    """Of those near the limit of what is withheld, a few show none."""
    assert withheld([0.0]) == []
    assert withheld([0.0, 0.1, 0.14, *[20.0] * 27]) == []


@pytest.mark.parametrize("per_muon", [1000, 10_000])
def test_a_standard_deviation_that_many_muons_could_have_fails(per_muon):
    found = withheld([0.0] * 24 + [20.0] * 16, per_muon)
    assert found == ["toys of 24 of 40 muons that are quoted without a standard deviation have no tails"]
    assert withheld([0.0] * 12, per_muon)


def test_toys_with_slight_tails_do_not_fail_by_chance():
    """Their estimates scatter by √(24/n), so that some are below the limit of 0.2."""
    rng = np.random.default_rng(3)
    for muons in (1, 3, 10, 80):
        for per_muon in (1000, 10_000, 1_000_000):
            studies = [rng.normal(0.3, np.sqrt(24 / per_muon), muons) for _ in range(20)]
            assert not any(withheld(each, per_muon) for each in studies)


def test_worst():
    assert worst([Verdict.PASS, NotJudged.OUTSIDE, None]) == "pass"
    assert worst([Verdict.PASS, Verdict.INCONCLUSIVE]) == "inconclusive"
    assert worst([Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.PASS]) == "fail"
    assert worst([NotJudged.OUTSIDE, NotJudged.EMPTY]) == "inconclusive"


@pytest.mark.parametrize("muons", [slow(5), 20, slow(200)])
def test_the_interval_of_the_pull_sd_covers(muons):
    """95 % intervals hold the true width for at least 93 of 100 samples, small ones too."""
    inside = 0
    for seed in range(600):
        rng = np.random.default_rng(seed)
        made, at, sigma = few(), np.full(muons, 50.0), np.ones(muons)
        value = at + rng.normal(size=muons)
        with unchecked():
            made.add(muons_of(value, sigma), toys_of(rng, np.array([0]), 10, value), Truth(at, at))
            domain = made.result().domain
        inside += domain.pulls.sd.low <= 1 <= domain.pulls.sd.high
    assert inside / 600 > 0.93


def test_the_quoted_sigma_is_judged_in_every_bin():
    result = tally(kind="quoted", per_muon=10_000, toys=2000).result()
    assert result.verdict == "pass"
    assert [each.verdict for each in result.bins] == ["pass"] * 7
    assert result.sigma == "quoted"
    assert result.domain.muons == result.overall.muons == 20_000


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        (K, "pass"),
        (K / 0.99, "pass"),  # quoted intervals 1 % too narrow
        (K / 0.95, "fail"),
        (K / 1.07, "fail"),
        (K + 0.07, "fail"),  # shifted, of the right width
        (np.array([-1.0, 1.0, -K95, K95 + 0.16]), "fail"),  # one end of four
        (np.array([-1.08, 1.0, -K95, K95]), "fail"),
    ],
)
def test_wrong_intervals_fail(ends, verdict):
    result = tally(kind="quoted", ends=ends, per_muon=10_000, toys=2000).result()
    assert result.verdict == verdict
    # Muons whose linear 95 % interval is wrong must not be called linear either.
    assert all("interval" in reason or "linear_valid" in reason for reason in result.reasons)
    # The linear σ claims no intervals.
    assert tally(kind="linear", ends=ends, per_muon=10_000, toys=2000).result().verdict == "pass"


def test_the_error_of_the_ends_is_that_of_repetitions():
    with unchecked():
        found = [tally(kind="quoted", muons=1000, toys=50, seed=seed).result().overall for seed in range(200)]
    for ends in zip(*(each.offsets.ends for each in found), strict=True):
        means = [end.mean for end in ends]
        assert means[0].se == pytest.approx(np.std([mean.value for mean in means]), rel=0.2)
        inside = np.mean([mean.low <= 0 <= mean.high for mean in means])
        assert 0.9 <= inside <= 0.99


def test_too_few_toys_for_the_ends_is_no_pass():
    made, at, rng = few("quoted", per_muon=100), np.linspace(0, 100, 20_000), np.random.default_rng(1)
    value = at + rng.normal(size=20_000)
    toys = toys_of(rng, np.arange(0, 20_000, 10), 100, value)
    for each in toys.toys[-4:]:
        each[:] = np.nan
    made.add(muons_of(value, np.ones(20_000)), toys, Truth(at, at))
    result = made.result()
    assert result.verdict == "inconclusive"
    assert "too few toys for the ends" in "; ".join(result.reasons)
    assert wanted(result, "toys.per_muon") >= 200


def test_adaptive_toys_are_not_told_to_be_raised_in_vain():
    result = tally(kind="quoted", per_muon=300, toys=2000, mode="adaptive").result()
    assert result.verdict == "inconclusive"
    assert [each.key for each in result.remedies] == ["toys.mode", "toys.per_muon"]
    assert result.remedies[0].value == "fixed"


def test_success_is_that_of_the_intervals():
    made, rng, muons = few("quoted"), np.random.default_rng(1), 50_000
    at, sigma = np.full(muons, 50.0), np.ones(muons)
    value = at + rng.normal(size=muons)
    # Intervals that are as wide as they should be, and lie beside the value.
    shifted = muons_of(value, sigma)._replace(interval68=np.stack([value, value + 2], axis=1))
    made.add(shifted, toys_of(rng, np.array([0]), 1000, value), Truth(at, at))
    overall = made.result().overall
    assert overall.pulls.coverage68.value == pytest.approx(norm.cdf(2) - 0.5, abs=0.01)
    assert overall.pulls.coverage95.value == pytest.approx(0.95, abs=0.005)


def test_the_share_of_linear_muons():
    made, rng = few("quoted"), np.random.default_rng(1)
    at, sigma = np.array([0.2, 4.0, 4.0, 4.0, 50.0]), np.ones(5)
    linear_valid = np.array([0, 1, 0, 0, 1])
    made.add(muons_of(at, sigma, linear_valid=linear_valid), toys_of(rng, np.array([0]), 1000, at), Truth(at, at))
    result = made.result()
    assert result.overall.linear_valid == 0.4
    assert [each.linear_valid for each in result.bins] == [0, None, None, None, pytest.approx(1 / 3), None, 1]


def test_toys_with_an_uneven_count_are_weighted_by_it():
    made, rng = few("quoted"), np.random.default_rng(1)
    at, sigma = np.full(2, 50.0), np.ones(2)
    toys = toys_of(rng, np.arange(2), 1000, at)
    toys.toys.number[:], toys.toys.sd[:] = (1001, 3001), (2.0, 1.0)
    made.add(muons_of(at, sigma), toys)
    assert made.result().overall.ratio.value == pytest.approx(math.sqrt((1000 * 4 + 3000 * 1) / 4000))


def test_heavy_tails_widen_the_interval_of_closure():
    """The error of a ratio is that of the toys' own sd, which knows their kurtosis."""
    made, rng, muons = few(), np.random.default_rng(1), 100
    at, sigma = np.linspace(10, 100, muons), np.ones(muons)
    toys = toys_of(rng, np.arange(muons), 10_000, at).toys
    made.add(muons_of(at, sigma), Thrown(np.arange(muons), toys._replace(sd_error=3 * toys.sd_error)))
    assert made.result().overall.ratio.se == pytest.approx(3 / math.sqrt(2 * 100 * 9999), rel=0.02)


def test_where_there_is_no_linear_sigma_the_distance_is_that_of_the_value():
    value, sigma = np.array([0.0, 0.0, 1.0, 3.0, -3.0]), np.array([0.0, np.nan, 0.0, 1.5, 1.5])
    assert distance(value, sigma).tolist() == [0, 0, np.inf, 2, 2]
    made, rng = few("quoted"), np.random.default_rng(1)
    at, quoted = np.zeros(3), np.full(3, 0.6)
    made.add(muons_of(at, quoted, np.zeros(3), linear_valid=np.zeros(3)), toys_of(rng, np.arange(3), 1000, at))
    assert [each.muons for each in made.result().bins] == [3, 0, 0, 0, 0, 0, 0]


def test_a_wrong_bias_fails():
    assert tally(kind="quoted", bias=0.1, per_muon=10_000, toys=2000).result().verdict == "fail"
    assert tally(kind="quoted", bias=0.02, per_muon=10_000, toys=2000).result().verdict == "pass"


@pytest.mark.parametrize("what", ["sigma", "bias", "interval68", "interval95"])
def test_muons_that_are_off_in_opposite_directions_do_not_cancel(what):
    rng, muons = np.random.default_rng(1), 20_000
    value, sign = np.linspace(0, 100, muons), np.where(np.arange(muons) % 2, 1.0, -1.0)
    said = muons_of(value, np.ones(muons))
    spoilt = {
        "sigma": said.sigma * (1 + 0.12 * sign),
        "bias": 0.12 * sign,
        "interval68": said.interval68 + 0.12 * sign[:, None],
        "interval95": said.interval95 + 0.24 * sign[:, None],
    }
    made = few("quoted")
    linear_valid = np.zeros(muons)  # as if the law held nowhere, so that σ is free
    toys = toys_of(rng, np.arange(0, muons, 10) + np.arange(muons // 10) % 2, 10_000, value)
    made.add(said._replace(linear_valid=linear_valid, **{what: spoilt[what]}), toys)
    result = made.result()
    assert result.verdict == "fail"
    assert "root mean square" in "; ".join(result.reasons)


@pytest.mark.parametrize(
    ("field", "spoil", "count"),
    [
        ("interval68", lambda each: each * np.nan, "interval_unusable"),
        ("interval95", lambda each: each[:, ::-1], "interval_unusable"),
        ("interval68", lambda each: 3 * each - 2 * each.mean(axis=1, keepdims=True), "interval_unusable"),
        ("sigma_linear", lambda each: 1.001 * each, "sigma_not_linear"),
        ("sigma", lambda each: np.nan * each, "sigma_zero_or_nan"),
    ],
)
def test_what_no_muon_may_be(field, spoil, count):
    """One muon of twenty thousand is enough."""
    value = np.linspace(0, 100, 20_000)
    said = muons_of(value, np.ones(20_000))
    column = getattr(said, field).copy()
    column[7] = spoil(column[7:8])[0]
    made = few("quoted")
    toys = toys_of(np.random.default_rng(1), np.arange(0, 20_000, 10), 10_000, value)
    made.add(said._replace(**{field: column}), toys)
    result = made.result()
    assert getattr(result.counts, count) == 1
    assert result.verdict == "fail"
    assert result.reasons[0] == f"1 muon {singular(NEVER[count])}"


def test_toys_that_contradict_linear_valid():
    """σ is 1, so δ is 0.5: ends that are 1 off contradict a law that holds, right ones a law that does not."""
    value, rng = np.linspace(0, 100, 2000), np.random.default_rng(1)
    for ok, shift, least, most in ((1, 0.0, 0, 0), (1, 1.0, 200, 200), (0, 0.0, 100, 200), (0, 1.0, 0, 0)):
        made = few("quoted")
        # Ends must be known to a sixth of 5 % of the half-width.
        toys = toys_of(rng, np.arange(0, 2000, 10), 200_000, value, ends=K + shift)
        made.add(muons_of(value, np.ones(2000), linear_valid=np.full(2000, ok)), toys)
        assert least <= made.result().counts.toys_contradict <= most


def test_what_lies_on_the_limit_gets_no_absurd_advice():
    result = tally(kind="linear", sigma_scale=1 / 1.05, muons=100_000, toys=2000, per_muon=10_000).result()
    assert result.verdict == "inconclusive"
    assert wanted(result, "validation.tolerance") == 0.1
    wider = tally(
        kind="linear", sigma_scale=1 / 1.05, muons=100_000, toys=2000, per_muon=10_000, tolerance=0.1
    ).result()
    assert wider.verdict == "pass"


def test_toys_that_reached_the_most_are_counted():
    made, value = few("quoted"), np.linspace(0, 100, 1000)
    toys = toys_of(np.random.default_rng(1), np.arange(10), 10_000, value)
    toys.toys.settled[:3] = 0
    made.add(muons_of(value, np.ones(1000)), toys)
    assert made.result().counts.toys_unsettled == 3


def test_the_error_of_a_pull_width_knows_the_kurtosis_of_few_pulls():
    z = np.array([0.1, -0.2, 0.3, 3.0, -0.4, 0.0, 0.2])
    at = 50 + np.arange(7.0)
    made = few()
    made.add(muons_of(at + z, np.ones(7)), toys_of(np.random.default_rng(1), np.arange(1), 500, at), Truth(at, at))
    overall = made.result().overall
    excess = kurtosis(z, bias=False)
    assert excess > 1
    assert overall.pulls.sd.value == pytest.approx(z.std(ddof=1), rel=1e-12)
    assert overall.pulls.sd.se == pytest.approx(z.std(ddof=1) / 2 * math.sqrt(2 / 6 + excess / 7), rel=1e-9)


@pytest.mark.parametrize("off", [0.0, 0.3, 2.0])
def test_the_error_of_a_single_square_is_that_of_its_toys(off):
    """A mean square of one muon has no scatter between muons: what its toys would find again and again has."""
    error = 0.5
    again = off + error * np.random.default_rng(1).normal(size=400_000)
    found = _rms(np.array([math.hypot(off, error)]), np.array([error]), 0.95)
    assert found.value == pytest.approx(off, abs=1e-8)
    assert found.se == pytest.approx((again**2).std(), rel=0.02)


def test_scatter_between_neighbours_has_the_freedom_of_successive_differences():
    rng = np.random.default_rng(1)
    steps = np.diff(rng.normal(size=(200_000, FEWEST_FOR_SCATTER)), axis=1)
    variance = (steps**2).mean(axis=1) / 2
    freedom = 2 / (variance.std() / variance.mean()) ** 2
    domain = tally(toys=FEWEST_FOR_SCATTER, muons=FEWEST_FOR_SCATTER, domain=0.0).result().domain
    expected = sd_interval(domain.scatter.local.value, freedom, 0.95)
    assert (domain.scatter.local.low, domain.scatter.local.high) == pytest.approx(expected, rel=0.01)


def test_a_muon_whose_toys_have_no_mean_is_left_out_of_the_bias():
    rng = np.random.default_rng(1)
    value = np.linspace(10.0, 90.0, 50)
    row, toys = toys_of(rng, np.arange(50), 1000, value)
    lost = [3, 20]
    toys.mean[lost] = np.nan
    made = few()
    made.add(muons_of(value, np.ones(50)), (row, toys))
    known = np.delete(np.arange(50), lost)
    overall = made.result().overall
    assert overall.offsets.bias.mean.value == pytest.approx((toys.mean - value)[known].mean(), rel=1e-9)
