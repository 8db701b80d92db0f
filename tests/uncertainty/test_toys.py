import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from running import PROJECT
from scipy import stats
from typechecker import unchecked

from pullback import infer_theta, numerical_tolerance, random_stream, run_toys
from pullback.statistics.quantiles import P_ENDS
from pullback.uncertainty import toys as module
from pullback.uncertainty.monte_carlo import ADAPTIVE_BATCH, FEWEST_FOR_ENDS
from pullback.uncertainty.toys import ToySetup, throw_toys

DOUBLE = torch.float64
CASES = json.loads(Path(__file__).parents[1].joinpath("data", "exact_theta_moments.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"x={case['x0_m']}")
def test_against_the_exact_moments(case):
    """Mean and sd within 4 standard errors, the fold included."""
    toys = 1_000_000
    hits = torch.tensor([[case["x0_m"]]], dtype=DOUBLE)
    infer = lambda h: infer_theta(h, case["dz_m"])  # noqa: E731
    result = run_toys(infer, hits, sigma=case["sigma_m"], toys=toys, rng=random_stream(5, "toys"))
    sd = case["std_rad"]
    assert result.mean.item() == pytest.approx(case["mean_rad"], abs=4 * sd / math.sqrt(toys))
    assert result.sd.item() == pytest.approx(sd, abs=4 * sd / math.sqrt(2 * toys))


def test_a_function_that_changes_its_hits_changes_no_others():
    def in_place(h):
        h += 1.0
        return h.sum(dim=1, keepdim=True)

    hits = torch.rand(64, 2, dtype=DOUBLE)
    before = hits.clone()
    found, expected = (
        run_toys(infer, hits, sigma=0.01, toys=100, rng=random_stream(1, "toys"))
        for infer in (in_place, lambda h: (h + 1.0).sum(dim=1, keepdim=True))
    )
    assert torch.equal(hits, before)
    assert torch.equal(found.mean, expected.mean)
    assert torch.equal(found.sd, expected.sd)


def test_against_all_toys_at_once():
    hits = torch.tensor([[0.1, 0.2], [0.3, -0.4], [2.0, 1.0]], dtype=DOUBLE)
    noise = torch.tensor([0.01, 0.02], dtype=DOUBLE)
    infer = lambda h: torch.stack([h.prod(dim=1), h.sum(dim=1), h[:, 0]], dim=1)  # noqa: E731
    result = run_toys(infer, hits, sigma=noise, toys=1000, rng=random_stream(1, "toys"))
    z = torch.from_numpy(random_stream(1, "toys").standard_normal((3, 1000, 2)))
    values = infer((hits[:, None] + noise * z).reshape(-1, 2)).reshape(3, 1000, 3)
    torch.testing.assert_close(result.mean, values.mean(dim=1), rtol=1e-12, atol=0)
    torch.testing.assert_close(result.sd, values.std(dim=1), rtol=1e-10, atol=0)


@pytest.mark.parametrize("toys", [2, 7, 1000])
def test_blocks_change_no_moment(monkeypatch, toys):
    hits = torch.linspace(0, 1, 23, dtype=DOUBLE)[:, None]
    whole = run_toys(infer_theta, hits, sigma=0.01, toys=toys, rng=random_stream(1, "toys"))
    monkeypatch.setattr(module, "DEVIATES_AT_A_TIME", 64)
    blocks = run_toys(infer_theta, hits, sigma=0.01, toys=toys, rng=random_stream(1, "toys"))
    torch.testing.assert_close(blocks.mean, whole.mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(blocks.sd, whole.sd, rtol=1e-10, atol=0)


@pytest.mark.parametrize("toys", [100, 3001])
def test_a_muon_has_the_same_bytes_alone_and_among_others(toys):
    hits = torch.linspace(0, 1, 700, dtype=DOUBLE)[:, None]
    rngs = lambda rows: [random_stream(1, "toys", row) for row in rows]  # noqa: E731
    (together,) = throw_toys([ToySetup(infer_theta, hits, 0.01)], toys, rngs(range(700)))
    for row in (0, 1, 333, 699):
        (alone,) = throw_toys([ToySetup(infer_theta, hits[row : row + 1], 0.01)], toys, rngs([row]))
        assert alone.sd.item() == together.sd[row].item()
        assert alone.mean.item() == together.mean[row].item()


def test_a_seed_is_no_random_generator():
    with pytest.raises(Exception, match="rng"):
        run_toys(infer_theta, torch.ones(2, 1, dtype=DOUBLE), sigma=0.01, toys=10, rng=1)


def test_throws_share_their_deviates():
    hits = torch.tensor([[0.5], [0.6]], dtype=DOUBLE)
    rngs = lambda: [random_stream(1, "toys", row) for row in range(2)]  # noqa: E731
    both = throw_toys([ToySetup(infer_theta, hits, 0.01), ToySetup(infer_theta, hits, 0.02)], 100, rngs())
    (one,) = throw_toys([ToySetup(infer_theta, hits, 0.02)], 100, rngs())
    assert torch.equal(both[1].sd, one.sd)
    identity = throw_toys([ToySetup(lambda h: h, hits, s) for s in (0.01, 0.02)], 100, rngs())
    torch.testing.assert_close(identity[1].sd, 2 * identity[0].sd, rtol=1e-12, atol=0)


@pytest.mark.parametrize("n_dig", [None, 1])
def test_a_setup_has_the_same_bytes_alone_and_with_others(n_dig):
    """At the fold and far from it: points that share deviates may be thrown in different jobs."""
    hits = torch.tensor([[0.0], [0.005], [-0.3], [0.7]], dtype=DOUBLE)
    rngs = lambda: [random_stream(1, "toys", row) for row in range(4)]  # noqa: E731
    setups = [ToySetup(infer_theta, hits, noise) for noise in (0.01, 0.02, 0.03)]
    together = throw_toys(setups, 20_000, rngs(), n_dig=n_dig)
    for setup, found in zip(setups, together, strict=True):
        (alone,) = throw_toys([setup], 20_000, rngs(), n_dig=n_dig)
        assert all(torch.equal(one, other) for one, other in zip(alone, found, strict=True))


def test_digits_are_kept_far_from_zero():
    hits = torch.tensor([[1e6]], dtype=DOUBLE)
    result = run_toys(lambda h: h, hits, sigma=1e-3, toys=10_000, rng=random_stream(1, "toys"))
    assert result.sd.item() == pytest.approx(1e-3, rel=0.03)


def test_memory_does_not_grow_with_the_toys():
    """The peak memory of a process that throws 75 times the toys that it holds."""
    code = (
        "import resource, torch\n"
        "from pullback import infer_theta, run_toys, random_stream\n"
        "hits = torch.rand(20, 1, dtype=torch.float64)\n"
        "run_toys(infer_theta, hits, sigma=0.01, toys=10, rng=random_stream(1, 'toys'))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "run_toys(infer_theta, hits, sigma=0.01, toys={toys}, rng=random_stream(1, 'toys'))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code.format(toys=250_000)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20 * 1024  # KiB; all toys at once would take 40 MB


def test_largest_block_holds(monkeypatch):
    """No call of the inference sees more rows than a block holds, whatever muons × toys."""
    seen = []

    def infer(h):
        seen.append(len(h))
        return h

    for muons, toys in ((3, 200_000), (5000, 30)):
        run_toys(infer, torch.zeros(muons, 1, dtype=DOUBLE), sigma=1.0, toys=toys, rng=random_stream(1, "toys"))
    assert max(seen) <= module.DEVIATES_AT_A_TIME


@pytest.mark.parametrize("hit", [math.nan, math.inf, -math.inf])
def test_a_muon_without_a_hit_has_no_moments(hit):
    result = run_toys(
        infer_theta, torch.tensor([[hit], [0.5]], dtype=DOUBLE), sigma=0.01, toys=10, rng=random_stream(1, "toys")
    )
    for each in (result.mean, result.sd, result.sd_error):
        assert each.isnan().flatten().tolist() == [True, False]


def test_too_few_toys_to_adapt_are_refused():
    throw = ToySetup(infer_theta, torch.zeros(1, 1, dtype=DOUBLE), 0.01)
    with pytest.raises(ValueError, match="at least two batches"):
        throw_toys([throw], 10_000, [random_stream(1, "toys")], n_dig=1)


@pytest.mark.parametrize(
    ("noise", "toys", "message"),
    [
        (0.01, 1, "at least 2"),
        (-0.01, 10, "sigma at coordinate 0 is negative: -0.01"),
        (float("nan"), 10, "sigma at coordinate 0 is not finite"),
        (torch.ones(3, 1, dtype=DOUBLE), 10, "sigma has shape"),
    ],
)
def test_mistakes_are_refused(noise, toys, message):
    with pytest.raises(ValueError, match=message):
        run_toys(infer_theta, torch.zeros(2, 1, dtype=DOUBLE), sigma=noise, toys=toys, rng=random_stream(1, "toys"))


def test_a_number_of_toys_that_is_not_whole_is_refused():
    with unchecked(), pytest.raises(ValueError, match=r"toys must be a whole number, not 10000\.0"):
        run_toys(infer_theta, torch.zeros(2, 1, dtype=DOUBLE), sigma=0.01, toys=1e4, rng=random_stream(1, "toys"))


def test_whole_numbers_for_hits_are_refused():
    """In a process without the type checks of the tests: toys around them would all be rounded to the hit, and sd 0."""
    code = (
        "import torch\n"
        "from pullback import infer_theta, propagate, quote, run_toys, propagate_distribution, random_stream\n"
        "hits = torch.tensor([[1], [2]])\n"
        "calls = [lambda: run_toys(infer_theta, hits, sigma=0.01, toys=100, rng=random_stream(1, 'toys'))]\n"
        "calls += [lambda f=f: f(infer_theta, hits, sigma=0.01) for f in (propagate, quote, propagate_distribution)]\n"
        "for call in calls:\n"
        "    try:\n"
        "        print('computed', call())\n"
        "    except TypeError as error:\n"
        "        print(error)\n"
    )
    environment = {"PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    line = "hits must be a floating-point torch tensor or numpy array, not torch.int64: use hits.double()"
    assert done.stdout.splitlines() == 4 * [line]


# Intervals and errors


def ends_of(found):
    """The ends of both intervals and their errors, in the order of `ENDS`."""
    return (
        torch.cat([found.interval68, found.interval95], dim=2)[:, 0],
        torch.cat([found.interval68_error, found.interval95_error], dim=2)[:, 0],
    )


def uniform(rng, shape):
    return rng.random(shape) - 0.5


def student(rng, shape):
    return rng.standard_t(9, shape)


SCATTERED = {
    "normal": (lambda h: h, 3.0, 2.0, None, stats.norm(3, 2)),
    "falling": (lambda h: -h, 3.0, 2.0, None, stats.norm(-3, 2)),
    "at the fold": (torch.abs, 0.0, 1.0, None, stats.foldnorm(0)),
    "beside the fold": (torch.abs, 1.0, 1.0, None, stats.foldnorm(1)),
    "lognormal": (torch.exp, 0.0, 0.4, None, stats.lognorm(0.4)),
    "uniform": (lambda h: h, 0.0, 1.0, uniform, stats.uniform(-0.5, 1)),
    "uniform at the fold": (torch.abs, 0.0, 1.0, uniform, stats.uniform(0, 0.5)),
    "heavy tails": (lambda h: h, 0.0, 1.0, student, stats.t(9)),
}


@pytest.mark.parametrize("name", SCATTERED)
def test_errors_are_the_scatter_over_repetitions(name):
    """sd and both intervals of 800 muons are scattered around the exact ones by the errors that are claimed."""
    infer, place, noise, draw, exact = SCATTERED[name]
    muons = 800
    hits = torch.full((muons, 1), place, dtype=DOUBLE)
    (found,) = throw_toys(
        [ToySetup(infer, hits, noise)], 2500, [random_stream(9, "toys", row) for row in range(muons)], draw=draw
    )
    ends, errors = ends_of(found)
    right = [exact.std(), *exact.ppf(P_ENDS)]
    for each, error, expected in zip(
        torch.cat([found.sd, ends], dim=1).T, torch.cat([found.sd_error, errors], dim=1).T, right, strict=True
    ):
        claimed = error.square().mean().sqrt().item()
        assert each.std().item() == pytest.approx(claimed, rel=0.12)
        assert each.mean().item() == pytest.approx(expected, abs=0.25 * claimed)


def test_intervals_against_all_toys_at_once():
    """By numpy, of the same deviates: a sorted observable, one that falls, and one that folds."""
    hits = torch.tensor([[0.1], [0.0], [-2.0]], dtype=DOUBLE)
    infer = lambda h: torch.cat([h.exp(), -h, h.abs()], dim=1)  # noqa: E731
    found = run_toys(infer, hits, sigma=0.3, toys=5000, rng=random_stream(1, "toys"))
    z = torch.from_numpy(random_stream(1, "toys").standard_normal((3, 5000, 1)))
    values = infer((hits[:, None] + 0.3 * z).reshape(-1, 1)).reshape(3, 5000, 3)
    expected = np.quantile(values, P_ENDS, axis=1, method="hazen").transpose(1, 2, 0)
    np.testing.assert_allclose(torch.cat([found.interval68, found.interval95], dim=2), expected, rtol=0, atol=2e-7)


def test_intervals_of_blocks_are_averages(monkeypatch):
    """Of more toys than are held at a time, the ends are within their errors, and these are no larger."""
    hits = torch.tensor([[0.0], [0.7]], dtype=DOUBLE)
    whole = run_toys(torch.abs, hits, sigma=1.0, toys=60_000, rng=random_stream(1, "toys"))
    monkeypatch.setattr(module, "DEVIATES_AT_A_TIME", 7000)
    blocks = run_toys(torch.abs, hits, sigma=1.0, toys=60_000, rng=random_stream(1, "toys"))
    (_, error), (ends, other) = ends_of(whole), ends_of(blocks)
    exact = torch.from_numpy(np.array([stats.foldnorm(place).ppf(P_ENDS) for place in (0, 0.7)]))
    assert ((ends - exact).abs() < 4 * other).all()
    torch.testing.assert_close(other, error, rtol=0.25, atol=0)
    assert blocks.toys.tolist() == [60_000] * 2


@pytest.mark.parametrize(("toys", "known"), [(FEWEST_FOR_ENDS - 1, False), (FEWEST_FOR_ENDS, True)])
def test_few_toys_have_no_interval(toys, known):
    found = run_toys(
        infer_theta, torch.tensor([[0.5]], dtype=DOUBLE), sigma=0.01, toys=toys, rng=random_stream(1, "toys")
    )
    for each in ends_of(found):
        assert each.isfinite().all().item() == known
        assert each.isnan().all().item() != known


def test_what_does_not_vary_has_an_interval_of_no_width():
    found = run_toys(
        lambda h: 0 * h + 0.1, torch.tensor([[0.5]], dtype=DOUBLE), sigma=0.01, toys=1000, rng=random_stream(1, "toys")
    )
    assert (found.mean.item(), found.sd.item(), found.sd_error.item()) == (0.1, 0, 0)
    ends, errors = ends_of(found)
    assert (ends == 0.1).all()
    assert (errors == 0).all()


def test_toys_without_a_number_have_no_interval():
    found = run_toys(
        torch.sqrt, torch.tensor([[0.1], [9.0]], dtype=DOUBLE), sigma=0.2, toys=1000, rng=random_stream(1, "toys")
    )
    for each in (found.mean, found.sd, found.interval68, found.interval95, found.interval95_error):
        assert each[0].isnan().all()
        assert each[1].isfinite().all()


# Adaptively


def adaptive(throws, muons, most=200_000, n_dig=2):
    return throw_toys(throws, most, [random_stream(1, "toys", muon) for muon in muons], n_dig=n_dig)


def batches_that_settle(values, n_dig):
    """JCGM 101:2008, 7.9.4, by numpy: batches of 10 000 values until twice the errors of all four are within δ."""
    found = []
    for count, batch in enumerate(values.reshape(-1, ADAPTIVE_BATCH), start=1):
        found.append([batch.mean(), batch.std(ddof=1), *np.quantile(batch, [0.025, 0.975], method="hazen")])
        if count >= 2:
            twice = 2 * np.std(found, axis=0, ddof=1) / math.sqrt(count)
            sd = torch.tensor(values[: count * ADAPTIVE_BATCH].std(ddof=1))
            if (twice <= numerical_tolerance(sd, n_dig).item()).all():
                return count
    return math.inf


@pytest.mark.parametrize("n_dig", [1, 2])
def test_toys_stop_when_they_settle(n_dig):
    places, noise = [0.0, 0.01, 0.5, 3.0, *range(4, 20)], 0.015
    (found,) = adaptive(
        [ToySetup(torch.abs, torch.tensor(places, dtype=DOUBLE)[:, None], noise)], range(20), n_dig=n_dig
    )
    for muon, place in enumerate(places):
        values = abs(place + noise * random_stream(1, "toys", muon).standard_normal(200_000))
        needed = batches_that_settle(values, n_dig)
        assert found.settled[muon].item() == (needed < math.inf)
        count = int(min(needed, 20)) * ADAPTIVE_BATCH
        assert found.toys[muon].item() == count
        assert found.sd[muon].item() == pytest.approx(values[:count].std(ddof=1), rel=1e-10)
        batches = np.quantile(values[:count].reshape(-1, ADAPTIVE_BATCH), [0.025, 0.975], axis=1, method="hazen")
        assert found.interval95[muon, 0].tolist() == pytest.approx(batches.mean(axis=1), abs=1e-7)


def test_more_digits_take_more_toys():
    throws = [ToySetup(lambda h: h, torch.zeros(30, 1, dtype=DOUBLE), 3.0)]
    one, two = (adaptive(throws, range(30), 2_000_000, n_dig)[0] for n_dig in (1, 2))
    assert one.settled.all()
    assert (one.toys == 2 * ADAPTIVE_BATCH).all()
    assert two.settled.all()
    # 2 s of an end falls to δ = 0.05 at 4 p (1 - p) / (density · δ)² toys.
    needed = 4 * 0.025 * 0.975 / (0.05 * stats.norm(0, 3).pdf(3 * 1.96)) ** 2
    assert two.toys.double().mean().item() == pytest.approx(needed, rel=0.35)


def test_every_observable_must_settle():
    hits = torch.zeros(1, 1, dtype=DOUBLE)
    infers = (lambda h: h, lambda h: 7 * h, lambda h: torch.cat([h, 7 * h], dim=1))
    small, large, both = (adaptive([ToySetup(infer, hits, 1.0)], [0], 1_000_000)[0] for infer in infers)
    assert small.toys < large.toys == both.toys


def test_the_most_toys_are_whole_batches():
    throws = [ToySetup(lambda h: 9.0 * h, torch.zeros(1, 1, dtype=DOUBLE), 1.0)]
    (found,) = adaptive(throws, [0], most=39_999, n_dig=3)
    assert found.toys.item() == 30_000
    assert not found.settled.item()


def test_adaptive_throws_are_the_same_alone_and_among_others():
    """Bit for bit, though each stops at its own number of toys."""
    hits = torch.tensor([0.0, 0.01, 0.3, math.nan, 1.0, 2.0], dtype=DOUBLE)[:, None]
    throws = [ToySetup(infer_theta, hits, 0.003), ToySetup(torch.abs, hits, 0.02), ToySetup(lambda h: h, hits, 4e-5)]
    together = adaptive(throws, range(6))
    assert len(torch.cat([each.toys for each in together]).unique()) > 3
    for throw, expected in zip(throws, together, strict=True):
        (alone,) = adaptive([throw], range(6))
        for rows in ([0], [1], [3], [2, 5]):
            (few,) = adaptive([ToySetup(throw.infer, hits[rows], throw.noise)], rows)
            for a, b, c in zip(few, alone, expected, strict=True):
                assert torch.equal(a.nan_to_num(9e9), b[rows].nan_to_num(9e9))
                assert torch.equal(b.nan_to_num(9e9), c.nan_to_num(9e9))


def test_a_muon_without_a_number_stops_at_once():
    hits = torch.tensor([[math.nan], [0.1], [9.0]], dtype=DOUBLE)
    (found,) = adaptive([ToySetup(torch.sqrt, hits, 0.2)], range(3))
    assert found.settled[:2].tolist() == [False, False]
    assert found.toys[:2].tolist() == [2 * ADAPTIVE_BATCH] * 2
    assert found.interval95[0].isnan().all()
