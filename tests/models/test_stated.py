import numpy as np
import pytest
import torch

from pullback.config.model_schema import Scatter, Track, Track3d
from pullback.models import load_model
from pullback.models.scatter import infer_scatter
from pullback.models.stated import arguments, resolution_of, stated_resolution
from pullback.models.track3d import fitted, infer_track3d

Z = [0.0, 0.3, 1.0]
SPACE, LINE = load_model(Track3d(z=Z)), load_model(Track(z=Z))
DOUBLE = torch.float64


@pytest.mark.parametrize(
    ("model", "stated", "expected"),
    [
        (LINE, {"resolution": 100.0}, [100] * 3),
        (LINE, {"resolution": [100.0, 200.0, 50.0]}, [100, 200, 50]),
        (LINE, {"sigma": 0.01}, [100] * 3),
        (LINE, {"sigma": [0.01, 0.005, 0.02]}, [100, 200, 50]),
        (SPACE, {"sigma": [0.01, 0.005, 0.02]}, [100, 200, 50, 100, 200, 50]),
        (SPACE, {"sigma.x": 0.01, "sigma.y": [0.01, 0.005, 0.02]}, [100, 100, 100, 100, 200, 50]),
    ],
)
def test_each_coordinate_has_the_resolution_that_is_stated(model, stated, expected):
    np.testing.assert_allclose(stated_resolution(stated, model), expected, rtol=1e-15)
    tensors = {key: torch.tensor(np.broadcast_to(each, 3).copy(), dtype=DOUBLE) for key, each in stated.items()}
    np.testing.assert_allclose(resolution_of(tensors, model), expected, rtol=1e-15)


def test_functions_get_a_number_per_layer_or_by_view_per_coordinate():
    per_layer = {"sigma": torch.tensor([0.01, 0.005, 0.02], dtype=DOUBLE), "z": torch.tensor(Z, dtype=DOUBLE)}
    found = arguments(["z", "resolution"], per_layer, SPACE)
    assert found["z"] is per_layer["z"]
    torch.testing.assert_close(found["resolution"], torch.tensor([100.0, 200.0, 50.0], dtype=DOUBLE))
    by_view = {"sigma.x": torch.full((3,), 0.01, dtype=DOUBLE), "sigma.y": torch.full((3,), 0.02, dtype=DOUBLE)}
    assert len(arguments(["resolution"], by_view, SPACE)["resolution"]) == 6


def test_derivatives_reach_the_stated_numbers():
    sigma = {view: torch.tensor([0.01, 0.02, 0.04], dtype=DOUBLE, requires_grad=True) for view in "xy"}
    found = resolution_of({f"sigma.{view}": each for view, each in sigma.items()}, SPACE)
    found[4].backward()  # y1
    assert sigma["x"].grad is None or not sigma["x"].grad.any()
    torch.testing.assert_close(sigma["y"].grad, torch.tensor([0.0, -1 / 0.02**2, 0.0], dtype=DOUBLE))


def hits_and_weights(layers):
    rng = np.random.default_rng(5)
    return torch.from_numpy(rng.normal(0, 1, (20, 2 * layers))), rng.uniform(0.1, 10, (2, layers))


def test_each_view_is_fitted_with_its_own_weights():
    """By numpy's own weighted least squares."""
    hits, resolution = hits_and_weights(3)
    found = infer_track3d(hits, z=Z, resolution=torch.from_numpy(resolution.ravel()))
    at = fitted(hits, z=Z, resolution=torch.from_numpy(resolution.ravel()))
    for view in range(2):
        own = hits[:, 3 * view : 3 * view + 3].numpy()
        slope, offset = np.polyfit(Z, own.T, 1, w=resolution[view])
        np.testing.assert_allclose(found[:, 2 + view], slope, rtol=1e-9, atol=1e-12)
        expected = offset[:, None] + slope[:, None] * np.array(Z)
        np.testing.assert_allclose(at[:, 3 * view : 3 * view + 3], expected, rtol=1e-9, atol=1e-12)


def test_each_of_the_four_lines_of_a_scattering_study_has_its_own_weights():
    upper, lower = [0.6, 0.8, 1.1], [-0.5, -1.0, -1.2]
    hits, resolution = hits_and_weights(6)
    hits = 0.01 * hits
    found = infer_scatter(hits, z_upper=upper, z_lower=lower, resolution=torch.from_numpy(resolution.ravel()))
    slopes = {}
    for view, name in enumerate("xy"):
        for part, z in enumerate((upper, lower)):
            own = slice(6 * view + 3 * part, 6 * view + 3 * part + 3)
            weights = resolution[view, 3 * part : 3 * part + 3]
            slopes[name, part] = np.polyfit(z, hits[:, own].numpy().T, 1, w=weights)[0]
    for column, name in ((2, "x"), (3, "y")):
        expected = np.arctan(slopes[name, 1]) - np.arctan(slopes[name, 0])
        np.testing.assert_allclose(abs(found[:, column]), abs(expected), rtol=1e-9, atol=1e-12)


def test_a_scatter_model_takes_sigma_by_view():
    model = load_model(Scatter(z_upper=[0.6, 0.8], z_lower=[-0.6, -0.8]))
    found = stated_resolution({"sigma.x": [1.0, 2.0, 4.0, 8.0], "sigma.y": 0.5}, model)
    np.testing.assert_allclose(found, [1, 0.5, 0.25, 0.125, 2, 2, 2, 2])
