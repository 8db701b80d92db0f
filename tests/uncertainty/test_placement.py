import numpy as np
import pytest
import torch

from pullback.uncertainty.placement import Coordinates, Placement

OF = Coordinates.of([0, 1, 2, 0, 1, 2], ["x0", "x1", "x2", "y0", "y1", "y2"])
NUMBERS = {
    "x": [0.0, 0.1, -0.3],
    "y": [0.0, -0.2, 0.4],
    "rotation": [0.0, np.pi / 2, 0.02],
    "scale_x": [0.0, 1.0, -0.01],
    "scale_y": [0.0, 0.0, 0.03],
}


def test_coordinates_know_their_partners():
    assert OF.partner.tolist() == [3, 4, 5, 0, 1, 2]
    line = Coordinates.of([0, 1], ["x0", "x1"])
    assert line.partner.tolist() == [0, 1]
    swapped = Coordinates.of([1, 0, 0, 1], ["y1", "x0", "y0", "x1"])
    assert swapped.partner.tolist() == [3, 2, 1, 0]
    assert swapped.view.tolist() == [1, 0, 1, 0]


def test_a_hit_by_hand():
    """Layer 1 is stretched by 2 in x, turned by 90° from x towards y, and displaced by (0.1, −0.2)."""
    placement = Placement.by_layer(OF, NUMBERS)
    found = placement.to_frame(np.array([[5.0, 1.0, 0.0, 7.0, 3.0, 0.0]]))[0]
    assert found[[1, 4]] == pytest.approx([-3.0 + 0.1, 2.0 - 0.2])
    assert found[[0, 3]].tolist() == [5.0, 7.0]
    assert found[[2, 5]] == pytest.approx([-0.3, 0.4])


def test_a_complex_number_turns_alike():
    """In the plane of x + i y, a rotation is a product with exp(i φ)."""
    hits = np.random.default_rng(1).normal(size=(7, 6))
    found = Placement.by_layer(OF, NUMBERS).to_frame(hits)
    stretched = hits[:, :3] * (1 + np.array(NUMBERS["scale_x"])) + 1j * hits[:, 3:] * (1 + np.array(NUMBERS["scale_y"]))
    moved = (
        stretched * np.exp(1j * np.array(NUMBERS["rotation"])) + np.array(NUMBERS["x"]) + 1j * np.array(NUMBERS["y"])
    )
    np.testing.assert_allclose(found[:, :3] + 1j * found[:, 3:], moved, rtol=1e-14, atol=1e-15)


def test_from_the_frame_and_back():
    placement = Placement.by_layer(OF, NUMBERS)
    hits = np.random.default_rng(2).normal(size=(9, 6))
    np.testing.assert_allclose(placement.to_frame(placement.from_frame(hits)), hits, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(placement.from_frame(placement.to_frame(hits)), hits, rtol=1e-13, atol=1e-14)


def test_tensors_are_placed_as_arrays_are_with_their_gradients():
    hits = np.random.default_rng(3).normal(size=(4, 6))
    placement = Placement.by_layer(OF, NUMBERS)
    given = torch.from_numpy(hits).requires_grad_()
    for name in ("to_frame", "from_frame"):
        found = getattr(placement, name)(given)
        np.testing.assert_allclose(found.detach().numpy(), getattr(placement, name)(hits), rtol=1e-15)
        (slope,) = torch.autograd.grad(found[:, 1].sum(), given)
        assert slope[:, 4].abs().min() > 0.4  # x of layer 1 is made of its y


def test_half_a_hit_is_lost_only_where_its_layer_turns():
    hits = np.ones((1, 6))
    hits[0, [3, 4]] = np.nan  # y of the layers 0, which does not turn, and 1
    found = Placement.by_layer(OF, NUMBERS).to_frame(hits)
    assert np.isnan(found[0]).tolist() == [False, True, False, True, True, False]
    straight = Placement.by_layer(OF, {"x": [0.1, 0.1, 0.1]}).to_frame(hits)
    assert np.isnan(straight[0]).tolist() == [False, False, False, True, True, False]


def test_nothing_given_is_in_place():
    hits = np.random.default_rng(4).normal(size=(3, 6))
    assert (Placement.by_layer(OF, {}).to_frame(hits) == hits).all()


def test_its_linear_part_by_hand():
    """Layer 1 stretches x by 2 and turns it into y, layer 2 by a small angle."""
    linear = Placement.by_layer(OF, NUMBERS).linear
    assert linear[np.ix_([1, 4], [1, 4])] == pytest.approx(np.array([[0.0, -1.0], [2.0, 0.0]]))
    cosine, sine = np.cos(0.02), np.sin(0.02)
    by_hand = np.array([[0.99 * cosine, -1.03 * sine], [0.99 * sine, 1.03 * cosine]])
    assert linear[np.ix_([2, 5], [2, 5])] == pytest.approx(by_hand, rel=1e-15)
    assert np.count_nonzero(linear) == 2 + 4 + 4
    assert linear[[0, 3], [0, 3]].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("numbers", "turns", "deforms"),
    [
        ({"x": [1.0, 2.0, 3.0]}, False, False),
        ({"rotation": [0.0, 0.0, 0.0], "scale_y": [0.0, 0.0, 0.0]}, False, False),
        ({"rotation": [0.0, -1e-9, 0.0]}, True, True),
        ({"scale_y": [0.0, 0.0, 1e-3]}, False, True),
    ],
)
def test_what_changes_the_covariance_of_hits(numbers, turns, deforms):
    placement = Placement.by_layer(OF, numbers)
    assert (placement.turns, placement.deforms) == (turns, deforms)
