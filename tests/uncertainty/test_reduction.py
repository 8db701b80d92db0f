from functools import partial

import torch

from pullback.models.track import infer_track
from pullback.uncertainty.reduction import reduction_of


def test_arguments_of_a_partial_are_those_of_its_functions():
    bound = reduction_of(partial(infer_track, z=[0.0, 1.0], resolution=[100.0, 100.0]))
    hits = torch.tensor([[0.1, 0.4]], dtype=torch.float64)
    u = bound.parameters(hits)
    torch.testing.assert_close(u, torch.tensor([[0.3, 0.1]], dtype=torch.float64))
    (part,) = bound.parts
    expected = infer_track(hits, z=[0.0, 1.0], resolution=[100.0, 100.0])
    assert torch.equal(part.infer(u[:, list(part.parameters)]), expected[:, list(part.observables)])
    assert torch.equal(u[:, list(bound.linear.values())], expected[:, list(bound.linear)])


def test_nothing_is_said_of_other_functions():
    assert reduction_of(torch.sin) is None
    assert reduction_of(partial(torch.add, 1)) is None
    assert reduction_of(partial(infer_track, torch.zeros(1, 2))) is None  # its hits are given
