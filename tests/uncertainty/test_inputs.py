import numpy as np
import pytest
import torch
from scipy import stats

from pullback import (
    Arcsine,
    CurvilinearTrapezoid,
    Gaussian,
    MultivariateGaussian,
    Rectangular,
    StudentT,
    Trapezoid,
    Triangular,
    propagate,
    random_stream,
)
from pullback.uncertainty import inputs as module
from pullback.uncertainty.inputs import Frozen, moments

COVARIANCE = np.array([[4.0, -1.2, 0.6], [-1.2, 1.0, 0.1], [0.6, 0.1, 0.25]])


class CurvedFlanks:
    """The density of JCGM 101:2008, 6.4.3.2, and integrals of it."""

    def __init__(self, low, high, d):
        middle, half = (low + high) / 2, (high - low) / 2
        self.x = np.linspace(low - d, high + d, 400_001)
        with np.errstate(divide="ignore"):
            away = np.maximum(abs(self.x - middle), half - d)
            self.density = np.log((half + d) / away) / (4 * d)
        steps = np.diff(self.x) * (self.density[1:] + self.density[:-1]) / 2
        self.below = np.append(0, steps.cumsum())

    def cdf(self, x):
        return np.interp(x, self.x, self.below)

    def support(self):
        return self.x[0], self.x[-1]

    def mean(self):
        return np.trapezoid(self.density * self.x, self.x)

    def var(self):
        return np.trapezoid(self.density * (self.x - self.mean()) ** 2, self.x)


SHAPES = [
    (Gaussian(2, 0.5), stats.norm(2, 0.5)),
    (Rectangular(-1, 4), stats.uniform(-1, 5)),
    (Arcsine(-1, 4), stats.arcsine(-1, 5)),
    (Trapezoid(-1, 4, 0), stats.trapezoid(0.5, 0.5, -1, 5)),
    (Trapezoid(-1, 4, 0.6), stats.trapezoid(0.2, 0.8, -1, 5)),
    (Trapezoid(-1, 4, 1), stats.uniform(-1, 5)),
    (Triangular(-1, 4), stats.triang(0.5, -1, 5)),
    (CurvilinearTrapezoid(-1, 4, 0), stats.uniform(-1, 5)),
    (CurvilinearTrapezoid(-1, 4, 0.5), CurvedFlanks(-1, 4, 0.5)),
    (CurvilinearTrapezoid(-1, 4, 2.4), CurvedFlanks(-1, 4, 2.4)),
    (StudentT(2, 0.5, 3), stats.t(3, 2, 0.5)),
    (StudentT(2, 0.5, 1.5), stats.t(1.5, 2, 0.5)),
    (Frozen(stats.gamma(3, scale=0.2)), stats.gamma(3, scale=0.2)),
    (Frozen(stats.expon(2, 0.5)), stats.expon(2, 0.5)),
]
names = pytest.mark.parametrize(("ours", "theirs"), SHAPES, ids=lambda each: type(each).__name__)


def generators(muons, seed=1):
    return [random_stream(seed, "toys", muon) for muon in range(muons)]


@names
def test_the_shape_is_that_of_scipy(ours, theirs):
    values = ours.draw(generators(1), 200_000)
    assert values.shape == (1, 200_000, 1)
    assert values.dtype == np.float64
    assert stats.kstest(values.ravel(), theirs.cdf).pvalue > 0.01
    low, high = theirs.support()
    assert low <= values.min()
    assert values.max() <= high


@names
def test_mean_and_variance_are_those_of_scipy(ours, theirs):
    rel = 1e-9 if isinstance(theirs, CurvedFlanks) else 1e-12
    assert ours.mean == pytest.approx(theirs.mean(), rel=rel)
    assert ours.variance == pytest.approx(theirs.var(), rel=rel)


def test_a_students_t_has_no_finite_variance_up_to_two_degrees_of_freedom():
    assert StudentT(0, [1, 1, 0], [2, 2.5, 1]).variance.tolist() == [np.inf, pytest.approx(5), 0]


def test_without_width_every_value_is_the_mean():
    bounded = (Rectangular(3, 3), Arcsine(3, 3), Trapezoid(3, 3, 0.5), Triangular(3, 3), CurvilinearTrapezoid(3, 3, 0))
    for each in (Gaussian(3, 0), *bounded, StudentT(3, 0, 4)):
        assert (each.draw(generators(2), 100) == 3).all()
        assert each.variance == 0


def test_correlated_quantities():
    ours = MultivariateGaussian([1, 2, 3], COVARIANCE)
    (values,) = ours.draw(generators(1), 200_000)
    assert values.shape == (200_000, 3)
    for column, mean, variance in zip(values.T, [1, 2, 3], COVARIANCE.diagonal(), strict=True):
        assert stats.kstest(column, stats.norm(mean, variance**0.5).cdf).pvalue > 0.01
    # The standard error of a covariance is sqrt((Σ_ii Σ_jj + Σ_ij²) / toys).
    error = np.sqrt((np.outer(COVARIANCE.diagonal(), COVARIANCE.diagonal()) + COVARIANCE**2) / len(values))
    assert (abs(np.cov(values.T) - COVARIANCE) < 4 * error).all()
    away = values - [1, 2, 3]
    distance = (away @ np.linalg.inv(COVARIANCE) * away).sum(axis=1)
    assert stats.kstest(distance, stats.chi2(3).cdf).pvalue > 0.01


def test_quantities_that_depend_on_each_other_without_fail():
    (values,) = MultivariateGaussian([0, 5, 1], [[1, 0, 1], [0, 0, 0], [1, 0, 1]]).draw(generators(1), 1000)
    assert (values[:, 1] == 5).all()
    np.testing.assert_allclose(values[:, 2] - values[:, 0], 1, rtol=0, atol=1e-14)
    assert values[:, 0].std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "of",
    [
        lambda a: Gaussian(a, a / 10),
        lambda a: Rectangular(-a, a),
        lambda a: Arcsine(0, a),
        lambda a: Trapezoid(-a, a, a / 10),
        lambda a: Triangular(-a, a),
        lambda a: CurvilinearTrapezoid(-a, a, a / 3),
        lambda a: StudentT(1, a, a),
        lambda a: Frozen(stats.gamma(a, scale=2)),
        lambda a: Frozen(stats.norm(1, scale=a)),
        lambda a: MultivariateGaussian(np.stack([a, -a], axis=-1), [[4, 1], [1, 1]]),
        lambda a: MultivariateGaussian([1, 2], a[..., None, None] * [[4, 1], [1, 1]]),
    ],
)
def test_a_muon_has_its_own_parameters_and_generator(of):
    several = np.array([1.0, 2.0, 5.0])
    together = of(several)
    assert together.muons == 3
    values = together.draw(generators(3), 50)
    for muon in range(3):
        alone = of(several[muon : muon + 1])
        assert alone.muons == 1
        assert np.array_equal(alone.draw([random_stream(1, "toys", muon)], 50)[0], values[muon])
    some = together.draw([random_stream(1, "toys", muon) for muon in (2, 0)], 50, np.array([2, 0]))
    assert np.array_equal(some, values[[2, 0]])


def test_moments_of_all_inputs_in_order():
    inputs = [Rectangular([0, 2], 4), MultivariateGaussian([1, 2, 3], COVARIANCE), StudentT(7, 0.5, 4)]
    hits, covariance = moments(inputs)
    assert hits.tolist() == [[2, 1, 2, 3, 7], [3, 1, 2, 3, 7]]
    expected = np.zeros((2, 5, 5))
    expected[:, 0, 0] = 16 / 12, 4 / 12
    expected[:, 1:4, 1:4] = COVARIANCE
    expected[:, 4, 4] = 0.5
    np.testing.assert_allclose(covariance, expected, rtol=1e-15)


def test_moments_are_what_the_linear_law_takes():
    """As many muons as coordinates too, where variances (muon, coordinate) would be ambiguous."""
    inputs = [Gaussian([1.0, 2.0, 3.0], [0.1, 0.2, 0.3]), MultivariateGaussian([0, 0], [[1, 0.5], [0.5, 1]])]
    result = propagate(lambda h: h.sum(dim=1, keepdim=True), **moments(inputs)._asdict())
    torch.testing.assert_close(result.sigma[:, 0], torch.tensor([3.01, 3.04, 3.09], dtype=torch.float64).sqrt())


def test_the_linear_law_refuses_an_infinite_variance():
    with pytest.raises(ValueError, match="covariance at coordinate 1, coordinate 1 is not finite: inf"):
        propagate(lambda h: h.sum(dim=1, keepdim=True), **moments([Gaussian(0, 1), StudentT(0, 1, 2)])._asdict())


def test_distributions_of_scipy_without_moments():
    """Their place is the median; linear propagation says which variance is infinite."""
    inputs = [stats.norm(3, 2), stats.cauchy(5, 2), stats.pareto(1.5)]
    found = moments(inputs)
    assert found.hits[0].tolist() == pytest.approx([3, 5, 3])  # of the last, α / (α - 1)
    assert found.covariance[0].diagonal().tolist() == [4, np.inf, np.inf]
    with pytest.raises(ValueError, match="covariance at coordinate 1, coordinate 1 is not finite: inf"):
        propagate(lambda h: h.sum(dim=1, keepdim=True), **found._asdict())


def test_a_deviate_of_zero_is_no_infinite_value(monkeypatch):
    monkeypatch.setattr(module, "uniform_deviates", lambda rngs, toys, count: np.zeros((len(rngs), toys, count)))
    assert Frozen(stats.norm(0, 1)).draw(generators(1), 2).ravel() == pytest.approx(stats.norm.ppf(2.0**-54))


def test_parameters_are_kept_as_they_were_checked():
    sd = np.array([1.0, 2.0])
    kept = Gaussian(0, sd)
    sd[0] = -1
    assert kept.sd.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        kept.sd[0] = -1


def test_tensors_are_parameters_too():
    assert Gaussian(torch.tensor([1.0, 2.0]), 0.1).mean.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(0, -0.1), "Gaussian: sd is -0.1, but it must not be negative"),
        (lambda: Gaussian(0, [1, 1, -2]), "Gaussian: sd of muon 2 is -2"),
        (lambda: Gaussian(np.nan, 1), "Gaussian: mean is not finite"),
        (lambda: Gaussian([0, np.inf], 1), r"Gaussian: mean at \[1\] is not finite"),
        (lambda: Gaussian([], 1), "mean is empty"),
        (lambda: Gaussian([1, 2], [1, 2, 3]), r"as many muons each, not mean \(2,\), sd \(3,\)"),
        (lambda: Gaussian([[1, 2]], 1), r"not mean \(1, 2\), sd \(\)"),
        (lambda: Rectangular(1, [2, 0]), "Rectangular: low of muon 1 is 1, but it must not be above high"),
        (lambda: Arcsine(1, 0), "Arcsine: low is 1"),
        (lambda: Trapezoid(1, 0, 0.5), "Trapezoid: low is 1"),
        (lambda: Trapezoid(0, 1, 1.1), "Trapezoid: beta is 1.1, but it must be from 0"),
        (lambda: Trapezoid(0, 1, -0.1), "Trapezoid: beta is -0.1"),
        (lambda: Triangular(1, 0), "Triangular: low is 1"),
        (lambda: CurvilinearTrapezoid(1, 0, 0), "CurvilinearTrapezoid: low is 1"),
        (lambda: CurvilinearTrapezoid(0, 1, -0.1), "CurvilinearTrapezoid: d is -0.1, but it must not be negative"),
        (lambda: CurvilinearTrapezoid(0, 1, [0.5, 0.51]), "d of muon 1 is 0.51, but it must be at most"),
        (lambda: StudentT(0, -1, 3), "StudentT: scale is -1"),
        (lambda: StudentT(0, 1, 0), "StudentT: freedom is 0, but it must be positive"),
        (
            lambda: MultivariateGaussian([0, 0], [[1, 0.5], [0.4, 1]]),
            "covariance at coordinate 0, coordinate 1 is not symmetric",
        ),
        (
            lambda: MultivariateGaussian([0, 0], [[[1, 0], [0, 1]], [[1, 2], [2, 1]]]),
            "at muon 1 is not positive semi-definite",
        ),
        (lambda: MultivariateGaussian([0, 0], [[-1, 0], [0, 1]]), "negative variance"),
        (lambda: MultivariateGaussian([0, 0, 0], [[1, 0], [0, 1]]), r"not \(3,\) and \(2, 2\)"),
        (lambda: MultivariateGaussian(0, 1), r"not \(\) and \(\)"),
        (
            lambda: MultivariateGaussian(np.zeros((2, 1)), np.ones((3, 1, 1))),
            "mean is for 2 muons, and covariance for 3",
        ),
        (lambda: moments([]), "must be a list of distributions"),
        (lambda: moments([stats.poisson(3)]), "scipy.stats.poisson is discrete: an input must have a continuous dis"),
        (lambda: moments([stats.norm(0, -1)]), r"scipy.stats.norm: no such distribution for parameters \[0, -1\]"),
        (lambda: moments([stats.gamma([1, -1], scale=2)]), r"scipy.stats.gamma: no such distribution for parameters"),
        (lambda: moments([stats.norm([[0, 1]], 1)]), r"scipy.stats.norm: parameters must be .* not of shape \(1, 2\)"),
        (lambda: moments([stats.norm([1, 2]), Gaussian([1, 2, 3], 1)]), "scipy.stats.norm 2, Gaussian 3"),
        (lambda: moments([Gaussian([1, 2], 1), Gaussian(1, 1), Gaussian([1, 2, 3], 1)]), "Gaussian 2, Gaussian 1, Gau"),
        (lambda: Gaussian([1, 2], 1).draw(generators(3), 10), "parameters for 2 muons: it can't be drawn with 3"),
    ],
)
def test_mistakes_are_refused(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [stats.norm, stats.multivariate_normal([0, 0]), 0.5])
def test_what_is_no_distribution_of_one_quantity_is_refused(given):
    with pytest.raises(Exception, match="inputs"):
        moments([given])


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError, match=r"Gaussian: sd must be a number or numbers, not \['wide'\]"):
        Gaussian(0, ["wide"])
