import pytest
import torch

from pullback import infer_theta, propagate
from pullback.uncertainty import linear
from pullback.uncertainty.memory import large


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.bool])
@pytest.mark.parametrize("rest", [(), (1,), (3, 2), (3, 0)])
def test_memory_for_many_muons_is_like_that_of_a_few(dtype, rest):
    like = torch.zeros(5, *rest, dtype=dtype)
    found = large(like, 1000)
    assert (found.shape, found.dtype, found.device) == ((1000, *rest), dtype, like.device)
    assert found.is_contiguous()
    found.fill_(1)
    assert found.double().sum() == found.numel()


def test_several_blocks_are_the_same_as_one(monkeypatch):
    hits = torch.linspace(-1, 1, 1000, dtype=torch.float64)[:, None]
    whole = propagate(infer_theta, hits, covariance=1e-4)
    monkeypatch.setattr(linear, "MUONS_AT_A_TIME", 64)
    for one, other in zip(propagate(infer_theta, hits, covariance=1e-4), whole, strict=True):
        assert torch.equal(one, other)
        assert one.is_contiguous()
