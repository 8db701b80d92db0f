import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback.errors import PullbackError
from pullback.models import line_fit
from pullback.uncertainty.elementwise import length

SEEN = st.lists(st.booleans(), min_size=5, max_size=5)


def tensor(values, **options):
    return torch.tensor(values, dtype=torch.float64, **options)


def fit(hits, z, resolution, at=0.0):
    """The slope and position of one view, NaN where there is no line."""
    (view,) = line_fit.views(hits, hits.shape[1])
    line = line_fit.fit(view, tensor(z), tensor(resolution), at)
    return line_fit.observables([line.slope, line.position], [line.known] * 2)


@given(seen=SEEN, seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_missing_hits_leave_the_fit_of_the_others(seen, seed):
    rng = np.random.default_rng(seed)
    z, resolution, hits = rng.uniform(-2, 2, 5), rng.uniform(10, 1000, 5), rng.normal(size=5)
    found = fit(tensor(np.where(seen, hits, np.nan))[None], z, resolution, at=0.3)[0].numpy()
    if sum(seen) < 2:
        assert np.isnan(found).all()
        return
    # numpy's least squares is by a QR decomposition, not by sums.
    expected = np.polyfit(z[seen] - 0.3, hits[seen], 1, w=resolution[seen])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_muon_has_the_same_bits_in_any_company():
    rng = np.random.default_rng(1)
    for layers in (2, 3, 8, 32):
        z, resolution = rng.uniform(-2, 2, layers), rng.uniform(10, 1000, layers)
        hits = tensor(rng.normal(size=(7, layers)))
        alone = torch.cat([fit(each[None], z, resolution) for each in hits])
        assert torch.equal(fit(hits, z, resolution), alone)
        assert torch.equal(fit(hits.t().contiguous().t(), z, resolution), alone)
        beside = torch.cat([hits, torch.full((1, layers), math.nan, dtype=torch.float64)])
        assert torch.equal(fit(beside, z, resolution)[:7], alone)


def test_hits_at_one_height_and_infinite_hits_give_no_line():
    hits = tensor([[1.0, 2.0, math.nan], [1.0, 2.0, 3.0], [1.0, math.inf, 3.0]])
    found = fit(hits, [0.5, 0.5, 1.0], [1.0, 1.0, 1.0])
    assert found.isnan().tolist() == [[True, True], [False, False], [True, True]]
    assert fit(tensor([[1.0, 2.0]]), [0.5, 0.5], [1.0, 1.0]).isnan().all()


def test_layers_far_from_the_origin_lose_no_digits():
    z = np.array([0.0, 0.1, 0.3]) + 1e6
    angle = 1e-4
    slope = fit(tensor(0.4 + np.tan(angle) * (z - 1e6))[None], z, [100.0, 300.0, 100.0])[0, 0].item()
    assert math.atan(slope) == pytest.approx(angle, rel=1e-9)


@pytest.mark.parametrize("missing", [False, True])
def test_gradients_of_hits_heights_and_resolutions(missing):
    hits = tensor([[0.3, 0.1, 0.7, 0.2], [0.5, -0.4, 0.2, 0.9], [0.1, 0.2, 0.3, 0.5]])
    if missing:
        hits[0, 1] = hits[2, 0] = hits[2, 1] = hits[2, 2] = math.nan
    inputs = [hits, tensor([0.0, 0.4, 1.1, 1.5]), tensor([1.0, 2.0, 1.5, 0.7])]
    for each in inputs:
        each.requires_grad_()

    def positions_and_line(hits, z, resolution):
        (view,) = line_fit.views(hits, 4)
        line = line_fit.fit(view, z, resolution, 0.2)
        found = line_fit.observables([line.slope, line.position], [line.known] * 2)
        found = torch.cat([found, line_fit.fitted_of_all([(view, z, resolution)])], dim=1)
        return torch.where(found.isnan(), 7.0, found)  # NaN is no difference

    def of_what_is_there(z, resolution):
        return positions_and_line(inputs[0], z, resolution)

    if missing:  # a hit that is NaN has no difference quotient
        assert torch.autograd.gradcheck(of_what_is_there, inputs[1:])
        (gradient,) = torch.autograd.grad(positions_and_line(*inputs).sum(), inputs[0])
        assert torch.isfinite(gradient).all()
        assert (gradient[hits.isnan()] == 0).all()
        assert (gradient[:2][~hits[:2].isnan()] != 0).all()
    else:
        assert torch.autograd.gradcheck(positions_and_line, inputs)


def test_the_fitted_positions_lie_on_the_line_also_where_a_hit_is_missing():
    hits = tensor([[0.0, 1.0, 0.0], [0.0, math.nan, 3.0], [math.nan, math.nan, 1.0]])
    (view,) = line_fit.views(hits, 3)
    found = line_fit.fitted_of_all([(view, tensor([0.0, 1.0, 2.0]), tensor([3.0, 3.0, 3.0]))])
    expected = [[1 / 3, 1 / 3, 1 / 3], [0.0, 1.5, 3.0], [math.nan] * 3]
    torch.testing.assert_close(found, tensor(expected), rtol=1e-12, atol=1e-12, equal_nan=True)


def test_the_length_of_a_vector_has_a_gradient_of_zero_at_zero():
    vector = tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    found = length(*vector.unbind(1))
    assert found.tolist() == [0.0, 5.0]
    (gradient,) = torch.autograd.grad(found.sum(), vector)
    assert gradient.tolist() == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]


@pytest.mark.parametrize(
    ("z", "resolution", "message"),
    [
        ([0.0, 1.0], [1.0, 1.0, 1.0], "resolution must have a number for each of 2 layers"),
        ([0.0, 1.0], [1.0, 0.0], "resolution must be positive"),
        ([0.0, 1.0], [1.0, math.nan], "resolution must be positive"),
    ],
)
def test_wrong_layers_are_refused(z, resolution, message):
    with pytest.raises(ValueError, match=message):
        line_fit.as_layers(resolution, torch.ones(1, 2), "resolution", len(z), positive=True)


def test_wrong_hits_are_refused():
    with pytest.raises(ValueError, match=r"hits must be a torch tensor \(muon, 3\), not Tensor \(2, 2\)"):
        line_fit.views(torch.ones(2, 2), 3)


def test_a_tracker_at_one_height_is_refused():
    with pytest.raises(PullbackError, match=r"z_upper: all layers are at 0\.5 m"):
        line_fit.check_heights("z_upper", [0.5, 0.5])
