import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pullback import infer_theta, run_toys, stream
from pullback import toys as module
from pullback.toys import Throw, throw_toys

DOUBLE = torch.float64
CASES = json.loads(Path(__file__).with_name("data").joinpath("exact_theta_moments.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"x={case['x0_m']}")
def test_against_the_exact_moments(case):
    """Mean and sd within 4 standard errors, the fold included."""
    toys = 1_000_000
    hits = torch.tensor([[case["x0_m"]]], dtype=DOUBLE)
    infer = lambda h: infer_theta(h, case["dz_m"])  # noqa: E731
    result = run_toys(infer, hits, case["sigma_m"], toys, stream(5, "toys"))
    sd = case["std_rad"]
    assert result.mean.item() == pytest.approx(case["mean_rad"], abs=4 * sd / math.sqrt(toys))
    assert result.sd.item() == pytest.approx(sd, abs=4 * sd / math.sqrt(2 * toys))


def test_against_all_toys_at_once():
    hits = torch.tensor([[0.1, 0.2], [0.3, -0.4], [2.0, 1.0]], dtype=DOUBLE)
    noise = torch.tensor([0.01, 0.02], dtype=DOUBLE)
    infer = lambda h: torch.stack([h.prod(dim=1), h.sum(dim=1), h[:, 0]], dim=1)  # noqa: E731
    result = run_toys(infer, hits, noise, 1000, stream(1, "toys"))
    z = torch.from_numpy(stream(1, "toys").standard_normal((3, 1000, 2)))
    values = infer((hits[:, None] + noise * z).reshape(-1, 2)).reshape(3, 1000, 3)
    torch.testing.assert_close(result.mean, values.mean(dim=1), rtol=1e-12, atol=0)
    torch.testing.assert_close(result.sd, values.std(dim=1), rtol=1e-10, atol=0)


@pytest.mark.parametrize("toys", [2, 7, 1000])
def test_blocks_change_no_moment(monkeypatch, toys):
    hits = torch.linspace(0, 1, 23, dtype=DOUBLE)[:, None]
    whole = run_toys(infer_theta, hits, 0.01, toys, stream(1, "toys"))
    monkeypatch.setattr(module, "AT_A_TIME", 64)
    blocks = run_toys(infer_theta, hits, 0.01, toys, stream(1, "toys"))
    torch.testing.assert_close(blocks.mean, whole.mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(blocks.sd, whole.sd, rtol=1e-10, atol=0)


@pytest.mark.parametrize("toys", [100, 3001])
def test_a_muon_has_the_same_bytes_alone_and_among_others(toys):
    hits = torch.linspace(0, 1, 700, dtype=DOUBLE)[:, None]
    rngs = lambda rows: [stream(1, "toys", row) for row in rows]  # noqa: E731
    (together,) = throw_toys([Throw(infer_theta, hits, 0.01)], toys, rngs(range(700)))
    for row in (0, 1, 333, 699):
        (alone,) = throw_toys([Throw(infer_theta, hits[row : row + 1], 0.01)], toys, rngs([row]))
        assert alone.sd.item() == together.sd[row].item()
        assert alone.mean.item() == together.mean[row].item()


def test_a_seed_is_no_random_generator():
    with pytest.raises(Exception, match="rng"):
        run_toys(infer_theta, torch.ones(2, 1, dtype=DOUBLE), 0.01, 10, 1)


def test_throws_share_their_deviates():
    hits = torch.tensor([[0.5], [0.6]], dtype=DOUBLE)
    rngs = lambda: [stream(1, "toys", row) for row in range(2)]  # noqa: E731
    both = throw_toys([Throw(infer_theta, hits, 0.01), Throw(infer_theta, hits, 0.02)], 100, rngs())
    (one,) = throw_toys([Throw(infer_theta, hits, 0.02)], 100, rngs())
    assert torch.equal(both[1].sd, one.sd)
    identity = throw_toys([Throw(lambda h: h, hits, s) for s in (0.01, 0.02)], 100, rngs())
    torch.testing.assert_close(identity[1].sd, 2 * identity[0].sd, rtol=1e-12, atol=0)


def test_digits_are_kept_far_from_zero():
    hits = torch.tensor([[1e6]], dtype=DOUBLE)
    result = run_toys(lambda h: h, hits, 1e-3, 10_000, stream(1, "toys"))
    assert result.sd.item() == pytest.approx(1e-3, rel=0.03)


def test_memory_does_not_grow_with_the_toys():
    """The peak memory of a process that throws 300 times the toys that it holds."""
    code = (
        "import resource, torch\n"
        "from pullback import infer_theta, run_toys, stream\n"
        "hits = torch.rand(20, 1, dtype=torch.float64)\n"
        "run_toys(infer_theta, hits, 0.01, 10, stream(1, 'toys'))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "run_toys(infer_theta, hits, 0.01, {toys}, stream(1, 'toys'))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code.format(toys=1_000_000)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 20 * 1024  # KiB; all toys at once would take 160 MB


def test_largest_block_holds(monkeypatch):
    """No call of the inference sees more rows than a block holds, whatever muons × toys."""
    seen = []

    def infer(h):
        seen.append(len(h))
        return h

    for muons, toys in ((3, 200_000), (5000, 30)):
        run_toys(infer, torch.zeros(muons, 1, dtype=DOUBLE), 1.0, toys, stream(1, "toys"))
    assert max(seen) <= module.AT_A_TIME


@pytest.mark.parametrize("hit", [math.nan, math.inf, -math.inf])
def test_a_muon_without_a_hit_has_no_moments(hit):
    result = run_toys(infer_theta, torch.tensor([[hit], [0.5]], dtype=DOUBLE), 0.01, 10, stream(1, "toys"))
    for each in (result.mean, result.sd, result.sd_error):
        assert each.isnan().flatten().tolist() == [True, False]


@pytest.mark.parametrize(
    ("noise", "toys", "message"),
    [
        (0.01, 1, "at least 2"),
        (-0.01, 10, "not negative"),
        (float("nan"), 10, "finite"),
        (torch.ones(3, 1, dtype=DOUBLE), 10, "noise has shape"),
    ],
)
def test_mistakes_are_refused(noise, toys, message):
    with pytest.raises(ValueError, match=message):
        run_toys(infer_theta, torch.zeros(2, 1, dtype=DOUBLE), noise, toys, stream(1, "toys"))
