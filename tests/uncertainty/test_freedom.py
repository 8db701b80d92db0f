import numpy as np
import pytest
import torch
from scipy import stats

from pullback import effective_freedom, expanded_uncertainty, propagate

DOUBLE = torch.float64
ONE, TWO, THREE = (2 * stats.norm.cdf(k) - 1 for k in (1, 2, 3))  # 68.27 %, 95.45 % and 99.73 %
COVERAGES = (ONE, 0.90, 0.95, TWO, 0.99, THREE)
# Rows of JCGM 100:2008, table G.2, as printed, for these coverages.
TABLE = {
    1: "1.84 6.31 12.71 13.97 63.66 235.80",
    2: "1.32 2.92 4.30 4.53 9.92 19.21",
    3: "1.20 2.35 3.18 3.31 5.84 9.22",
    5: "1.11 2.02 2.57 2.65 4.03 5.51",
    8: "1.07 1.86 2.31 2.37 3.36 4.28",
    16: "1.03 1.75 2.12 2.17 2.92 3.54",
    19: "1.03 1.73 2.09 2.14 2.86 3.45",
    50: "1.01 1.68 2.01 2.05 2.68 3.16",
    100: "1.005 1.660 1.984 2.025 2.626 3.077",
    np.inf: "1.000 1.645 1.960 2.000 2.576 3.000",
}


def same(h):
    return h


def total(h):
    return h.sum(dim=1, keepdim=True)


def end_gauge(h):
    """JCGM 100:2008, H.1: the length at 20 °C of a gauge compared with a standard, both lengths in nm."""
    standard, difference, expansion, temperature, expansion_off, temperature_off = h.unbind(1)
    return (standard + difference - standard * (expansion_off * temperature + expansion * temperature_off))[:, None]


@pytest.mark.parametrize("coverage", COVERAGES)
@pytest.mark.parametrize("nu", TABLE)
def test_factors_are_those_of_table_g2(nu, coverage):
    printed = TABLE[nu].split()[COVERAGES.index(coverage)]
    found = expanded_uncertainty(same, torch.zeros(1, 1, dtype=DOUBLE), sigma=2.0, freedom=nu, coverage=coverage)
    assert f"{found.factor.item():.{len(printed.split('.')[1])}f}" == printed
    assert found.expanded.item() == pytest.approx(2 * found.factor.item(), rel=1e-15)
    assert found.freedom.item() == pytest.approx(nu, rel=1e-14)


def test_the_end_gauge_of_h1():
    """H.1.6: u = 32 nm, ν_eff = 16.7, t99(16) = 2.92 and U99 = 93 nm, by these rounded numbers."""
    comparison = effective_freedom(np.array([5.8, 3.9, 6.7]), [24, 5, 8])
    assert comparison.item() == pytest.approx(25.6 * (5.8**2 + 3.9**2 + 6.7**2) ** 2 / 9.7**4, abs=0.05)
    hits = torch.tensor([[50_000_623, 215, 11.5e-6, -0.1, 0, 0]], dtype=DOUBLE)
    sigma = torch.tensor([[25, 9.7, 1.2e-6, 0.41, 0.58e-6, 0.029]], dtype=DOUBLE)
    freedom = [18, comparison.item(), np.inf, np.inf, 50, 2]
    found = expanded_uncertainty(end_gauge, hits, sigma=sigma, freedom=freedom, coverage=0.99)
    assert found.value.item() == pytest.approx(50_000_838, abs=0.5)
    assert found.sigma.item() == pytest.approx(32, abs=0.5)
    assert found.freedom.item() == pytest.approx(16.7, abs=0.05)
    assert found.factor.item() == pytest.approx(2.92, abs=0.005)
    assert found.expanded.item() == pytest.approx(93, abs=1)
    assert found.expanded.item() == pytest.approx(stats.t(16).ppf(0.995) * found.sigma.item(), rel=1e-9)


def test_the_product_of_g4():
    """Of G.4.1, relative: 0.25 %, 0.57 % and 0.82 % with 9, 4 and 14 give 19.0, and U95 = 2.09 · 1.03 % = 2.2 %."""
    shares = [0.25, 0.57, 0.82]
    hits = torch.tensor([[0.0, 0.0, 0.0]], dtype=DOUBLE)
    sigma = torch.tensor([shares], dtype=DOUBLE)
    found = expanded_uncertainty(total, hits, sigma=sigma, freedom=[9, 4, 14], interpolate=True)
    assert round(found.freedom.item(), 1) == 19.0
    assert round(found.sigma.item(), 2) == 1.03
    assert round(found.expanded.item(), 1) == 2.2
    assert found.freedom.item() == pytest.approx(effective_freedom(np.array(shares), [9, 4, 14]).item(), rel=1e-14)


def test_truncation_and_interpolation():
    """As many digits as the formula has: 18.9987 is 18 when it is truncated."""
    hits, sigma = np.zeros((1, 3)), np.array([[0.25, 0.57, 0.82]])
    cut, exact = (
        expanded_uncertainty(total, hits, sigma=sigma, freedom=[9, 4, 14], interpolate=each) for each in (False, True)
    )
    assert cut.factor.item() == pytest.approx(stats.t(18).ppf(0.975), rel=1e-12)
    assert exact.factor.item() == pytest.approx(stats.t(exact.freedom.item()).ppf(0.975), rel=1e-12)
    assert isinstance(cut.expanded, np.ndarray)


@pytest.mark.parametrize("nu", range(1, 60))
def test_one_contribution_has_its_own_freedom_when_it_is_truncated(nu):
    """Rounding must not take a whole degree of freedom away."""
    hits = torch.full((1, 3), 0.1, dtype=DOUBLE)
    found = expanded_uncertainty(total, hits, sigma=torch.tensor([[0, 0.3, 0]], dtype=DOUBLE), freedom=[1, nu, 1])
    assert found.factor.item() == pytest.approx(stats.t(nu).ppf(0.975), rel=1e-10)


def test_equal_contributions_add_their_freedom():
    """Also so small or large that their fourth powers are no numbers."""
    for scale in (1e-200, 1.0, 1e150):
        assert effective_freedom(torch.full((4,), scale, dtype=DOUBLE), 3).item() == pytest.approx(12, rel=1e-14)


def test_what_is_exact_has_no_end_of_freedom():
    u = torch.tensor([[1.0, 2.0], [0.0, 0.0], [0.0, 2.0], [1.0, np.nan]], dtype=DOUBLE)
    assert effective_freedom(u, [4, np.inf])[:3].tolist() == pytest.approx([4 * 25, np.inf, np.inf])
    assert effective_freedom(u, [4, np.inf])[3].isnan()


def test_u95_holds_the_truth():
    """A sum of two averages of 4 and 8 indications, of which each repetition finds its own σ.

    The formula is an approximation, of which so few indications show the error.
    """
    rng = np.random.default_rng(3)
    muons, counts, widths = 200_000, (4, 8), (1.0, 0.7)
    averages, deviations = [], []
    for count, width in zip(counts, widths, strict=True):
        indications = rng.normal(0, width, (muons, count))
        averages.append(indications.mean(axis=1))
        deviations.append(indications.std(axis=1, ddof=1) / count**0.5)
    hits, sigma = np.stack(averages, axis=1), np.stack(deviations, axis=1)
    for coverage, error in ((0.95, 0.008), (0.99, 0.005)):
        found = expanded_uncertainty(total, hits, sigma=sigma, freedom=[3, 7], coverage=coverage, interpolate=True)
        held = (np.abs(found.value) <= found.expanded).mean()
        assert held == pytest.approx(coverage, abs=error)
        # The Gaussian factor would hold it less often, by far more than that.
        assert (np.abs(found.value) <= stats.norm.ppf((1 + coverage) / 2) * found.sigma).mean() < coverage - 3 * error


def test_it_is_that_of_the_linear_law():
    hits = torch.tensor([[0.3, 2.0], [np.nan, 1.0], [-1.0, 0.0], [0.5, 0.5]], dtype=DOUBLE)
    infer = lambda h: torch.stack([h[:, 0] * h[:, 1], 1 / h[:, 1]], dim=1)  # noqa: E731
    found = expanded_uncertainty(infer, hits, sigma=0.1, freedom=[5, 9])
    linear = propagate(infer, hits, sigma=0.1)
    torch.testing.assert_close(found.value, linear.value, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(found.sigma, linear.sigma, rtol=0, atol=0, equal_nan=True)
    for each in found:
        assert each[1].isnan().all()
    for each in (found.freedom, found.factor, found.expanded):
        assert each[2, 1].isnan()
        assert each[[0, 3]].isfinite().all()
    assert found.freedom[0, 1].item() == pytest.approx(9, rel=1e-14)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"freedom": 0.5}, "freedom must be at least 1, not 0.5"),
        ({"freedom": [3, -2]}, "freedom must be at least 1, not -2"),
        ({"freedom": [3, np.nan]}, "freedom must be at least 1, not nan"),
        ({"freedom": [3, 4, 5]}, r"freedom must be a number or \(2,\), one for each quantity, not \(3,\)"),
        ({"coverage": 1.0}, "coverage must be between 0 and 1, such as 0.95, not 1"),
        ({"sigma": -1.0}, "sigma at coordinate 0 is negative"),
    ],
)
def test_mistakes_are_refused(changed, message):
    arguments = {"sigma": 0.1, "freedom": 4, **changed}
    with pytest.raises(ValueError, match=message) as caught:
        expanded_uncertainty(total, torch.zeros(1, 2, dtype=DOUBLE), **arguments)
    assert "\n" not in str(caught.value)
