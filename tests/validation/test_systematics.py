"""What muons share, against numbers with known answers; the judgement must be able to fail."""

import math

import numpy as np
import pytest

from pullback.validation.systematics import Observed, Predicted, SystematicSums, judge

MUONS, EXPERIMENTS = 100, 10_000
U = np.array([0.5, 0.3])
SIGMA_ETA = U[:, None] * np.array([[1.0, 0.6], [0.6, 1.0]]) * U


def muons(count=MUONS):
    """σ and G of some muons: different for each, and of one sign on the whole."""
    rng = np.random.default_rng(3)
    return 0.8 + 0.4 * rng.random(count), 1.0 + 0.3 * rng.normal(size=(count, 2))


def experiments(sigma, jacobian, sigma_eta=SIGMA_ETA, count=EXPERIMENTS, each_its_own=False, seed=1):
    """What pseudo-experiments show of muons whose σ, G and Σ_η are these."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(sigma_eta)
    eta = rng.normal(size=(len(sigma) if each_its_own else 1, count, len(root))) @ root.T
    away = sigma[:, None] * rng.normal(size=(len(sigma), count)) + np.einsum(
        "mk,mek->me", jacobian, eta + np.zeros((len(sigma), 1, 1))
    )
    pull = away / sigma[:, None]
    return Observed(away.std(axis=1, ddof=1), pull.sum(axis=0), (pull**2).sum(axis=0))


def judged(sigma, jacobian, seen, sigma_eta=SIGMA_ETA, spread=None):
    spread = sigma if spread is None else spread
    total = np.sqrt(sigma**2 + np.einsum("mk,kl,ml->m", jacobian, sigma_eta, jacobian))
    return judge(Predicted(total, jacobian, spread), seen, sigma_eta, 0.05, 0.95)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_right_passes(seed):
    sigma, jacobian = muons()
    found = judged(sigma, jacobian, experiments(sigma, jacobian, seed=seed))
    assert found.verdict == "pass"
    assert (found.total.verdict, found.mean.verdict) == ("pass", "pass")
    assert found.total.value == pytest.approx(1, abs=0.03)
    assert found.mean.value == pytest.approx(1, abs=0.03)
    assert found.pull_width.value == pytest.approx(found.pull_width.expected, rel=0.01)
    assert found.pull_shift.value == pytest.approx(found.pull_shift.expected, rel=0.03)
    assert found.pull_shift.expected > 0.5  # far more than the 0.1 of 100 muons that share nothing


def without(jacobian, column):
    return np.where(np.arange(2) == column, 0.0, jacobian)


SABOTAGES = {
    "nothing is shared": lambda s, g: judged(s, 0 * g, experiments(s, g)),
    "a correlation with the wrong sign": lambda s, g: judged(
        s, g, experiments(s, g), SIGMA_ETA * np.array([[1, -1], [-1, 1]])
    ),
    "no correlation": lambda s, g: judged(s, g, experiments(s, g), np.diag(U**2)),
    "G doubled": lambda s, g: judged(s, 2 * g, experiments(s, g)),
    "the first systematic forgotten": lambda s, g: judged(s, without(g, 0), experiments(s, g)),
    "the second systematic forgotten": lambda s, g: judged(s, without(g, 1), experiments(s, g)),
    "the other systematic's G": lambda s, g: judged(s, g[:, ::-1], experiments(s, g * np.array([2.0, 1.0]))),
    "toys without shifts": lambda s, g: judged(s, g, experiments(s, 0 * g)),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_what_is_wrong_fails(name):
    found = SABOTAGES[name](*muons())
    assert (found.verdict, found.mean.verdict) == ("fail", "fail")
    assert found.total.verdict != "pass"


def test_sigma_that_is_off_by_a_tenth_fails():
    sigma, jacobian = muons()
    seen = experiments(sigma, 0.1 * jacobian)
    assert judged(sigma, 0.1 * jacobian, seen).verdict == "pass"
    assert judged(1.1 * sigma, 0.1 * jacobian, seen).total.verdict == "fail"


def test_shifts_that_differ_between_muons_show_in_the_mean_alone():
    """Each muon scatters as it should; that all are shifted together is seen by their mean only."""
    sigma, jacobian = muons()
    found = judged(sigma, jacobian, experiments(sigma, jacobian, each_its_own=True))
    assert (found.verdict, found.total.verdict, found.mean.verdict) == ("fail", "pass", "fail")
    assert found.mean.value < 0.3
    assert found.pull_shift.value < 0.3 * found.pull_shift.expected


def test_few_experiments_are_inconclusive():
    sigma, jacobian = muons()
    found = judged(sigma, jacobian, experiments(sigma, jacobian, count=100))
    assert found.verdict == "inconclusive"
    assert found.total.low < 1 < found.total.high


def test_the_intervals_cover():
    """95 % of repetitions of few experiments hold the truth, also for many muons: what is shared is no sharper."""
    sigma, jacobian = muons(20)
    found = [judged(sigma, jacobian, experiments(sigma, jacobian, count=100, seed=seed)) for seed in range(150)]
    for ratios in ([each.total for each in found], [each.mean for each in found]):
        held = np.mean([each.low <= 1 <= each.high for each in ratios])
        assert held >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 150)


def test_muons_without_sigma_are_left_out_and_the_mean_is_not_judged_without_a_word():
    sigma, jacobian = muons()
    seen = experiments(sigma, jacobian)
    sigma[3] = np.nan
    found = judged(sigma, jacobian, seen)
    assert (found.experiment_muons, found.total.verdict) == (MUONS - 1, "pass")
    assert found.mean is None
    assert found.verdict == "inconclusive"
    # Nor known to the experiments: then the sums have it not either.
    sigma, jacobian = muons()
    few = experiments(sigma[1:], jacobian[1:])
    found = judged(sigma, jacobian, few._replace(sd=np.concatenate([[np.nan], few.sd])))
    assert (found.experiment_muons, found.verdict) == (MUONS - 1, "pass")
    assert found.mean.verdict == "pass"


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_muons_are_inconclusive(count):
    sigma, jacobian = muons(max(count, 1))
    seen = experiments(sigma, jacobian, count=100)
    seen, sigma, jacobian = seen._replace(sd=seen.sd[:count]), sigma[:count], jacobian[:count]
    assert judged(sigma, jacobian, seen).verdict == "inconclusive"


def summed(count):
    sums = SystematicSums()
    sigma, jacobian = muons(count)
    for rows in np.array_split(np.arange(count), 3):
        sums.add(sigma[rows], None, jacobian[rows])
    return sums, sigma, jacobian


def test_the_uncertainty_of_the_mean_is_that_of_the_full_covariance():
    """1ᵀ C 1/N² with C = diag(σ²) + G Σ_η Gᵀ of all muons, written out."""
    sums, sigma, jacobian = summed(200)
    covariance = np.diag(sigma**2) + jacobian @ SIGMA_ETA @ jacobian.T
    found = sums.mean(SIGMA_ETA)
    assert found.total == pytest.approx(math.sqrt(covariance.sum()) / 200, rel=1e-12)
    assert found.independent == pytest.approx(math.sqrt((sigma**2).sum()) / 200, rel=1e-12)


def test_what_is_shared_does_not_shrink_with_the_muons():
    few, many = (summed(count)[0].mean(SIGMA_ETA) for count in (100, 10_000))
    assert many.independent == pytest.approx(few.independent / 10, rel=0.05)
    assert many.shared == pytest.approx(few.shared, rel=0.05)
    assert many.total > 0.95 * many.shared > 20 * many.independent


def test_only_muons_with_sigma_count():
    sums, *_ = summed(200)
    nan = np.full(2, np.nan)
    sums.add(np.array([np.nan, 0.0]), None, np.stack([nan, nan]))
    assert sums.mean(SIGMA_ETA) == summed(200)[0].mean(SIGMA_ETA)
    assert SystematicSums().mean(SIGMA_ETA) is None


def test_the_budget_of_all_muons():
    sums = SystematicSums()
    sums.add(np.array([1.0, np.nan]), np.array([[3.0, 1.0], [np.nan, np.nan]]), None)
    sums.add(np.array([1.0]), np.array([[1.0, 3.0]]), None)
    assert sums.budget(["layer 0", "model.z[0]"]) == {"layer 0": 0.5, "model.z[0]": 0.5}
    assert SystematicSums().budget([]) == {}
