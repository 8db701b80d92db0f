import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback import budget_sources, cross_covariance, muon_jacobian, propagate, systematic_jacobian, uncertainty_budget

DOUBLE = torch.float64
LAYERS = (2, 0, 2, 5)


def example(seed, muons=6, observables=2, systematics=3):
    """J, a full covariance of hits for each muon, G and a full covariance of systematics."""
    rng = np.random.default_rng(seed)
    root, other = rng.normal(size=(muons, 4, 4)), rng.normal(size=(systematics, systematics))
    arrays = (
        rng.normal(size=(muons, observables, 4)),
        root @ root.swapaxes(1, 2),
        rng.normal(size=(muons, observables, systematics)),
        other @ other.T,
    )
    return [torch.from_numpy(each) for each in arrays]


@given(st.integers(0, 2**31), st.booleans(), st.booleans(), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=60)
def test_shares_add_up_to_the_variance(seed, full, shared, correlated, each_its_own):
    jac, cov, g, sigma = example(seed)
    cov = cov if each_its_own else cov[:1]
    cov = cov if full else cov.diagonal(dim1=1, dim2=2)
    sigma = sigma if correlated else sigma.diagonal().sqrt()
    found = uncertainty_budget(jac, cov, LAYERS, *((g, sigma) if shared else ()))
    matrices = cov if full else torch.diag_embed(cov)
    expected = torch.einsum("moc,mcd,mod->mo", jac, matrices.expand(6, 4, 4), jac)
    if shared:
        expected = expected + cross_covariance(g, g, sigma).diagonal(dim1=1, dim2=2)
    scale = found.shares.abs().sum(dim=2)
    assert ((found.shares.sum(dim=2) - expected).abs() <= 1e-13 * scale).all()
    assert ((found.variance - expected).abs() <= 1e-13 * scale).all()
    names = budget_sources(LAYERS, full, ["a", "b", "c"] if shared else [], shared and correlated)
    assert found.shares.shape == (6, 2, len(names))
    own = [index for index, name in enumerate(names) if "correlations" not in name]
    assert (found.shares[:, :, own] >= 0).all()


def test_each_share_by_hand():
    jac, cov, g, sigma = example(3)
    found = uncertainty_budget(jac, cov, LAYERS, g, sigma).shares[4, 1].tolist()
    j, c, k, s = jac[4, 1].tolist(), cov[4].tolist(), g[4, 1].tolist(), sigma.tolist()
    pairs = [(a, b) for b in range(4) for a in range(b)]
    expected = [
        j[1] ** 2 * c[1][1],
        j[0] ** 2 * c[0][0] + j[2] ** 2 * c[2][2],
        j[3] ** 2 * c[3][3],
        sum(2 * j[a] * j[b] * c[a][b] for a, b in pairs),
        *(k[i] ** 2 * s[i][i] for i in range(3)),
        sum(2 * k[a] * k[b] * s[a][b] for a, b in pairs if b < 3),
    ]
    assert found == pytest.approx(expected, rel=1e-12)
    assert budget_sources(LAYERS, True, ["a", "b", "c"], True) == [
        "layer 0",
        "layer 2",
        "layer 5",
        "hit correlations",
        "a",
        "b",
        "c",
        "systematic correlations",
    ]


def test_the_variance_of_one_source_alone_is_its_share():
    """Each layer, and each systematic, with all others made exact."""
    z = torch.tensor([0.0, 0.4, 1.1, 2.0], dtype=DOUBLE)

    def infer(hits, eta):
        away = z + eta[:4] - (z + eta[:4]).mean()
        return ((hits - eta[4]) * away).sum(dim=1, keepdim=True).div((away * away).sum()).atan()

    hits, eta = example(1)[0][:, 0], torch.zeros(5, dtype=DOUBLE)
    u, variances = torch.linspace(0.01, 0.05, 5, dtype=DOUBLE), torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=DOUBLE)
    jac, g = muon_jacobian(lambda h: infer(h, eta), hits), systematic_jacobian(infer, hits, eta)
    shares = uncertainty_budget(jac, variances[None], LAYERS, g, u).shares
    for index, layer in enumerate((0, 2, 5)):
        alone = variances * torch.tensor([each == layer for each in LAYERS])
        expected = propagate(lambda h: infer(h, eta), hits, covariance=alone).covariance[:, :, 0]
        torch.testing.assert_close(shares[:, :, index], expected, rtol=1e-12, atol=0)
    for index in range(5):
        alone = torch.where(torch.arange(5) == index, u, 0.0)
        expected = cross_covariance(g, g, alone)[:, :, 0]
        torch.testing.assert_close(shares[:, :, 3 + index], expected, rtol=1e-12, atol=1e-30)


def test_correlations_that_cancel_the_rest_leave_nothing():
    line = torch.ones(1, 2, 2, dtype=DOUBLE)
    found = uncertainty_budget(torch.tensor([[[1.0, -1.0]]], dtype=DOUBLE), line, (0, 1))
    assert found.shares.tolist() == [[[1, 1, -2]]]
    assert found.variance.item() == 0


def test_a_matrix_without_correlations_still_has_their_column():
    jac, _, g, _ = example(2)
    found = uncertainty_budget(jac, torch.eye(4, dtype=DOUBLE)[None], LAYERS, g, torch.eye(3, dtype=DOUBLE))
    assert found.shares.shape[2] == 8
    assert (found.shares[:, :, [3, 7]] == 0).all()


def test_one_missing_hit_has_no_share_and_a_muon_without_hits_has_nan():
    jac, cov, g, sigma = example(4)
    jac[1, :, 1] = 0.0
    jac[3, 0] = float("nan")
    g[5] = float("nan")
    found = uncertainty_budget(jac, cov, LAYERS, g, sigma)
    assert (found.shares[1, :, 0] == 0).all()
    expected = [[False] * 2, [False] * 2, [False] * 2, [True, False], [False] * 2, [True] * 2]
    assert found.variance.isnan().tolist() == expected
    assert found.shares.isnan().all(dim=2).tolist() == found.shares.isnan().any(dim=2).tolist() == expected


@pytest.mark.parametrize("muons", [0, 1])
def test_few_muons(muons):
    jac, cov, g, sigma = example(5)
    found = uncertainty_budget(jac[:muons], cov[0][None], LAYERS, g[:muons], sigma)
    assert found.shares.shape == (muons, 2, 8)


def test_shares_carry_gradients():
    jac, _, g, _ = example(6)
    width = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=DOUBLE, requires_grad=True)
    u = torch.tensor([0.1, 0.2, 0.3], dtype=DOUBLE, requires_grad=True)
    shares = uncertainty_budget(jac, width[None] ** 2, LAYERS, g, u).shares
    by_width, by_u = torch.autograd.grad(shares[0, 0, 1], (width, u), retain_graph=True, allow_unused=True)
    assert by_width.tolist() == pytest.approx((2 * width * jac[0, 0] ** 2 * torch.tensor([1, 0, 1, 0])).tolist())
    assert (by_u == 0).all()


def test_what_does_not_fit_is_refused():
    jac, cov, g, sigma = example(7)
    with pytest.raises(ValueError, match="each of 4 coordinates, not 3"):
        uncertainty_budget(jac, cov, LAYERS[:3])
    for extra in ((g,), (None, sigma)):
        with pytest.raises(ValueError, match="give both, or neither"):
            uncertainty_budget(jac, cov, LAYERS, *extra)
    for form in (cov[0], cov[:2], cov[:, :, :3], cov[:, :3, 0], cov[0, 0]):
        with pytest.raises((ValueError, TypeError), match="covariance"):
            uncertainty_budget(jac, form, LAYERS)
    bad = cov.clone()
    bad[2, 0, 1] = bad[2, 1, 0] = 2 * (bad[2, 0, 0] * bad[2, 1, 1]).sqrt()
    with pytest.raises(ValueError, match="muon 2 is not positive semi-definite"):
        uncertainty_budget(jac, bad, LAYERS)
    with pytest.raises(ValueError, match="sigma_eta has shape"):
        uncertainty_budget(jac, cov, LAYERS, g, sigma[:2, :2])
    for names, correlated in ((["layer 2"], False), (["a", "a"], False), (["systematic correlations"], True)):
        with pytest.raises(ValueError, match="has the name of another source"):
            budget_sources(LAYERS, True, names, correlated)
    with pytest.raises(ValueError, match="no systematics"):
        budget_sources(LAYERS, correlated=True)


def test_names_need_no_torch():
    code = "import sys; from pullback import budget_sources; budget_sources([0]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
