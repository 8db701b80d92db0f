import numpy as np
import pytest
import torch

from pullback import smear


def test_numpy_and_tensor_agree():
    x, z = np.array([[0.1], [0.2]]), np.array([[1.0], [-2.0]])
    expected = np.array([[0.11], [0.18]])
    np.testing.assert_allclose(smear(x, 100.0, z), expected, rtol=1e-15)
    tensor = smear(torch.tensor(x), 100.0, torch.tensor(z))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), smear(x, 100.0, z))


def test_gradient_reaches_the_resolution_also_from_numpy_hits():
    resolution = torch.tensor(100.0, dtype=torch.float64, requires_grad=True)
    z = np.array([[1.0], [-3.0]])
    smear(np.zeros((2, 1)), resolution, z).sum().backward()
    assert resolution.grad.item() == pytest.approx(-z.sum() / 100**2, rel=1e-14)


def test_resolution_by_coordinate():
    smeared = smear(np.zeros((1, 2)), np.array([10.0, 100.0]), np.ones((1, 2)))
    np.testing.assert_allclose(smeared, [[0.1, 0.01]])


@pytest.mark.parametrize("resolution", [0.0, -1.0, float("nan"), float("inf"), np.array([10.0, 0.0])])
def test_impossible_resolutions_are_refused(resolution):
    with pytest.raises(ValueError, match="positive and finite"):
        smear(np.zeros((1, 2)), resolution, np.zeros((1, 2)))


def test_whole_numbers_are_not_truncated():
    assert smear(torch.tensor([[1]]), 2.5, torch.tensor([[1.0]])).item() == pytest.approx(1.4)


def test_a_resolution_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="doesn't fit"):
        smear(np.zeros((2, 1)), np.array([10.0, 100.0]), np.ones((2, 1)))


@pytest.mark.parametrize("resolution", [[10.0, 100.0], (10, 100), np.array([10, 100]), torch.tensor([10.0, 100.0])])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_a_list_is_one_number_for_each_coordinate(resolution, kind):
    smeared = smear(kind(np.zeros((1, 2))), resolution, kind(np.ones((1, 2))))
    np.testing.assert_allclose(np.asarray(smeared), [[0.1, 0.01]])


@pytest.mark.parametrize(
    ("resolution", "error", "said"),
    [
        (
            [10.0, 20.0, 30.0],
            ValueError,
            r"resolution has shape \(3,\), which doesn't fit \(4, 2\) hits: give one number",
        ),
        ([[1.0, 2.0], [3.0]], ValueError, r"resolution is \[\[1.0, 2.0\], \[3.0\]\], with rows of different length"),
        (["a", 2], TypeError, r"resolution must be 1/σ in 1/m, a number or one for each coordinate, not \['a', 2\]"),
        ("100 um", TypeError, "resolution must be 1/σ in 1/m, a number or one for each coordinate, not '100 um'"),
        (None, TypeError, "resolution must be 1/σ in 1/m, a number or one for each coordinate, not None"),
        ([1, -1], ValueError, "positive and finite"),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_a_list_of_anything_else_is_refused(resolution, error, said, kind):
    with pytest.raises(error, match=f"^.*{said}[^\n]*$"):
        smear(kind(np.zeros((4, 2))), resolution, kind(np.zeros((4, 2))))


def test_shapes_that_only_broadcast_are_refused():
    with pytest.raises(Exception, match="noise"):
        smear(np.zeros((3, 1)), 100.0, np.zeros((1, 1)))
