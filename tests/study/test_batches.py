from itertools import pairwise

import pytest
from configs import load
from hypothesis import example, given
from hypothesis import strategies as st

from pullback.study.artefact_configs import KINDS
from pullback.study.batches import Batch
from pullback.study.blocks import BLOCK
from pullback.study.cutting import cut
from pullback.study.plan import Study
from pullback.study.scan import expand
from pullback.study.work import OF_FUNCTIONS, cost


def batches(limit, scan=None, muons=100_000, **more):
    points = expand(load({"study": "s", "source": {"muons": muons}, "scan": scan, **more}))
    return cut(points, {point.label: point.config.source.muons for point in points}, limit, {})


def test_the_default_study_is_one_batch():
    scan = {"detector.resolution": [50, 100, 200], "model.dz": [1.0, 1.5, 2.0]}
    limit = load({"study": "s"}).compute.batch_cost
    (batch,) = batches(limit, scan).values()
    assert len(batch.parts) == 9


def test_a_billion_muons_are_many():
    limit = load({"study": "s"}).compute.batch_cost
    parts = [part for batch in batches(limit, muons=10**9).values() for part in batch.parts]
    assert len(parts) > 10
    assert sum(part.stop - part.start for part in parts) == 10**9
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]


def test_an_expensive_point_is_a_batch_of_its_own_and_keeps_it():
    cost = 100_000 * OF_FUNCTIONS.muon + 2000 * 10_000
    before = batches(int(1.5 * cost), {"model.dz": [1.0, 1.5]})
    after = batches(int(1.5 * cost), {"model.dz": [1.0, 1.2, 1.5]})
    assert [len(batch.parts) for batch in after.values()] == [1, 1, 1]
    for name, batch in before.items():
        assert after[name] == batch


def test_adding_a_point_to_a_packed_batch_changes_its_recipe():
    before, after = (batches(10**12, {"model.dz": values}) for values in ([1.0, 1.5], [1.0, 1.5, 2.0]))
    assert list(before) == list(after)
    assert [batch.digest for batch in before.values()] != [batch.digest for batch in after.values()]


@given(st.integers(1, 20 * BLOCK), st.integers(1, 10**9), st.integers(1, 5))
def test_every_muon_is_in_one_batch_once(muons, limit, count):
    scanned = batches(limit, {"model.dz": [1.0 + i for i in range(count)]}, muons=muons)
    for index in range(count):
        label = f"model.dz={1 + index}"
        parts = [part for batch in scanned.values() for part in batch.parts if part.label == label]
        rows = [row for part in parts for block in part.blocks for row in (block.start, block.stop)]
        assert rows[0] == 0
        assert rows[-1] == muons
        assert rows[1:-1:2] == rows[2::2]


@example(muons=[1, BLOCK + 2], limit=28 * BLOCK + 30)
@given(muons=st.lists(st.integers(1, 3 * BLOCK), min_size=1, max_size=8, unique=True), limit=st.integers(1, 2 * 10**7))
def test_batches_are_filled_up_to_the_limit_and_no_further(muons, limit):
    found = list(batches(limit, {"source.muons": muons}, toys={"muons": 1, "per_muon": 2}).values())
    costs = [sum(cost(part) for part in batch.parts) for batch in found]
    for batch, work in zip(found, costs, strict=True):
        (first, *others) = batch.parts
        assert work <= limit or (not others and len(list(first.blocks)) == 1)
    # What begins a batch had no room in the one before, unless one of the two is a piece of a point, or a large point.
    # The last two share theirs, which the next test is about.
    for (before, work), (after, _) in list(pairwise(zip(found, costs, strict=True)))[:-1]:
        last, first = before.parts[-1], after.parts[0]
        piece = any(part.last - part.first < -(-part.muons // BLOCK) for part in (last, first))
        large = len(before.parts) == 1 and 2 * work > limit
        assert piece or large or work + cost(first) > limit


@pytest.mark.parametrize(
    ("count", "room", "sizes"), [(50, 40, [25, 25]), (45, 20, [20, 13, 12]), (41, 20.5, [20, 11, 10])]
)
def test_the_last_two_batches_share_their_work_evenly(count, room, sizes):
    scan = {"detector.resolution": [100 + each for each in range(count)]}
    (one,) = batches(10**12, {"detector.resolution": [100]}).values()
    found = batches(int(room * cost(one.parts[0])), scan).values()
    assert sorted((len(batch.parts) for batch in found), reverse=True) == sizes
    assert [part.label for batch in found for part in batch.parts] == [
        f"detector.resolution={100 + each}" for each in range(count)
    ]


def test_a_large_point_shares_no_work_with_the_last_batch():
    muons = [6_000_000, 2_000_000, 2_000_001, 2_000_002, 2_000_003]
    found = batches(14_000_000 * OF_FUNCTIONS.muon, {"source.muons": muons})
    assert [len(batch.parts) for batch in found.values()] == [1, 4]


def test_a_recipe_holds_what_its_artefact_is_made_from_and_no_more():
    whole = next(iter(batches(10**12).values()))
    made_from = {kind: whole.of_kind(kind).parts[0].made_from()["config"] for kind in KINDS}
    assert set(made_from["truth"]) == {"seed", "random_numbers", "source", "model"}
    assert made_from["truth"]["model"] == {"name": "one_hit"}  # not dz
    assert made_from["reco"]["model"] == {"name": "one_hit"}
    assert set(made_from["sigma"]) - set(made_from["theta"]) == {"systematics", "uncertainty", "compute"}
    assert made_from["sigma"]["compute"] == made_from["coverage"]["compute"] == {"storage": "lossless"}
    assert set(made_from["toys"]) - set(made_from["theta"]) == {"systematics", "toys", "compute"}
    assert made_from["toys"]["compute"] == {"device_random": False}  # not how the work is cut, nor where it is done
    assert set(made_from["tally"]) - set(made_from["toys"]) == {"uncertainty", "coverage", "validation"}
    assert made_from["tally"]["compute"] == {"device_random": False, "storage": "lossless"}
    assert made_from["tally"]["validation"] == {"domain": 3.0}  # an edge of the bins
    for kind in set(KINDS) - {"tally"}:  # a tally is another one when any artefact of its batch is
        assert whole.of_kind("tally").of_kind(kind) == whole.of_kind(kind)
    assert whole.of_kind("toys").of_kind("reco") == whole.of_kind("reco")
    with pytest.raises(AttributeError):
        _ = whole.of_kind("truth").parts[0].config.detector


def test_json_brings_a_batch_back():
    whole = next(iter(batches(10**12, {"model.dz": [1.0, 1.5]}).values())).of_kind("reco")
    assert Batch.from_json(whole.to_json()) == whole


def test_names_are_fit_for_files():
    long = {"zip": {f"{name}": [1.2345678901234567] for name in ("detector.resolution", "model.dz", "source.x_max")}}
    for limit in (1, 10**12):
        for name in batches(limit, long, muons=3 * BLOCK):
            assert not set("/,") & set(name)
            assert len(name) < 120
    assert len(set(batches(1, long, muons=3 * BLOCK))) == 3


def test_what_costs_nothing_of_the_config_changes_no_recipe():
    judged = {"validation": {"tolerance": 0.1, "confidence": 0.9, "strict": True}}
    assert changed({}, {**judged, "figures": {"points": "all"}, "compute": {"batch_cost": 7}}) == set()


def digests(**more):
    whole = next(iter(batches(10**12, **more).values()))
    return {kind: whole.of_kind(kind).digest for kind in KINDS}


def changed(before, after):
    """The kinds of artefacts that are made again."""
    before, after = digests(**before), digests(**after)
    return {kind for kind in KINDS if before[kind] != after[kind]}


TRACK = {"model": {"name": "track"}}


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [
        ({}, {"validation": {"domain": 4.0}}, {"tally"}),
        ({}, {"model": {"dz": 1.6}}, {"theta", "sigma", "toys", "coverage", "tally"}),  # it has no residuals
        (TRACK, {"model": {"name": "track", "at": 0.06}}, {"theta", "sigma", "toys", "coverage", "tally"}),
        ({}, {"coverage": {"toys_per_bin": 200}}, {"coverage", "tally"}),
        ({}, {"systematics": {"model.dz": 0.01}}, {"sigma", "toys", "coverage", "tally"}),
        (TRACK, {**TRACK, "systematics": {"alignment.x[1]": 0.01}}, {"sigma", "toys", "coverage", "tally"}),
        (TRACK, {**TRACK, "uncertainty": {"n_dig": 2}}, {"sigma", "coverage", "tally"}),
        (TRACK, {**TRACK, "toys": {"experiments": 200}}, {"toys", "tally"}),
        (TRACK, {**TRACK, "target": {"sigma_theta": 0.01, "vary": "detector.resolution"}}, set()),
        ({}, {"compute": {"device": "cuda", "batch_cost": 10**10}}, set()),
        ({}, {"compute": {"device": "cuda", "device_random": True}}, {"toys", "tally"}),
        (
            TRACK,
            {**TRACK, "detector": {"efficiency": 0.9}},
            {"reco", "theta", "fits", "sigma", "toys", "coverage", "tally"},
        ),
        (TRACK, {"model": {"name": "track", "z": [0.0, 0.5, 2.0]}}, set(KINDS)),
        (TRACK, {**TRACK, "source": {"muons": 100_000, "cosmic": {"zenith_max": 0.5}}}, set(KINDS)),
    ],
)
def test_a_change_makes_again_what_depends_on_it_and_nothing_else(before, after, again):
    assert changed(before, after) == again


@pytest.mark.parametrize(
    ("source", "model", "jobs"),
    [
        ({}, {"name": "one_hit"}, 1),
        ({}, {"name": "track3d", "z": [0, 1, 2, 3]}, 2),
        ({"cosmic": {"momentum": "4 GeV"}}, {"name": "track3d", "z": [0, 1, 2, 3], "material": "1 %X0"}, 8),
        ({}, {"name": "scatter"}, 8),
    ],
)
def test_muons_of_a_slow_model_are_more_jobs(source, model, jobs):
    """Of lines that scatter by momentum, and of points of closest approach."""
    muons, raw = 8 * BLOCK, {"study": "s", "toys": {"muons": 1}, "coverage": {"toys_per_bin": 100}, "model": model}
    config = load({**raw, "source": {"muons": muons, **source}})
    assert len(cut(expand(config), {"nominal": muons}, config.compute.batch_cost, {})) == jobs


def test_the_costs_of_batches_add_up_to_that_of_the_point():
    muons, toys = 6 * BLOCK, {"muons": 1001, "per_muon": 50}
    whole = muons * OF_FUNCTIONS.muon + 1001 * 50 + 7 * 100_000 * OF_FUNCTIONS.truth
    pieces = batches(whole // 4, muons=muons, toys=toys)
    costs = [cost(part) for batch in pieces.values() for part in batch.parts]
    assert len(costs) == 6  # two blocks would cost more than a quarter
    assert sum(costs) == whole


SHIFTED = {"systematics": {"model.dz": 0.01}, "toys": {"muons": 1, "per_muon": 2, "experiments": 250_000}}
"""Pseudo-experiments that cost 10⁹ toys."""


def test_pseudo_experiments_fill_batches_and_cut_no_point():
    """A range of blocks runs as many of them as the whole point."""
    assert 250_000 * OF_FUNCTIONS.experiment == 10**9
    scan, limit = {"model.dz": [1.0, 1.1, 1.2]}, 10**9
    assert [len(batch.parts) for batch in batches(limit, scan).values()] == [3]
    assert [len(batch.parts) for batch in batches(limit, scan, **SHIFTED).values()] == [1, 1, 1]
    without = SHIFTED | {"systematics": {}}
    whole, pieces = ([*batches(limit, muons=muons, **SHIFTED)] for muons in (10 * BLOCK, 10**9))
    assert whole == ["nominal"]
    assert pieces == [*batches(limit, muons=10**9, **without)]
    costs = [sum(cost(part) for part in batches(10**12, **more)["nominal"].parts) for more in (SHIFTED, without)]
    assert costs[0] - costs[1] == 10**9


@pytest.mark.parametrize(("layers", "cosmic", "least"), [(2, {}, 4), (4, {}, 8), (16, {"momentum": "4 GeV"}, 32 * 4)])
def test_pseudo_experiments_of_more_coordinates_are_more_work(layers, cosmic, least):
    """Those whose weights are matrices of their own, more than in proportion."""
    model = {"name": "track3d", "z": [*range(layers)], **({"material": "1 %X0"} if cosmic else {})}
    raw = {"study": "s", "source": {"cosmic": cosmic}, "model": model, "systematics": {"alignment.x[0]": 1e-4}}

    def work(experiments):
        (batch,) = Study.from_config({**raw, "toys": {"experiments": experiments}}).batches.values()
        return sum(map(cost, batch.parts))

    assert work(1_000_100) - work(100) >= least * 1_000_000 * OF_FUNCTIONS.experiment


def test_jobs_with_pseudo_experiments_ask_for_the_time_of_these():
    minutes = [
        Study.from_config({"study": "s", "source": {"muons": 1000}, **SHIFTED, "toys": {"experiments": count}}).minutes(
            "nominal"
        )
        for count in (100, 1_000_000)
    ]
    assert minutes == [5 + 1, 5 + 4]  # twice 100 s, begun minutes counted, and 5


def test_a_job_asks_for_time_by_its_cost_and_for_memory_by_its_coordinates():
    def study(batch_cost, **more):
        compute = {"batch_cost": batch_cost}
        return Study.from_config({"study": "s", "source": {"muons": 10**9}, "compute": compute, **more})

    whole, cut_up = study(10**12), study(10**9)
    (name,) = whole.batches
    # 10⁹ muons at 28 toys each, and the default 2 · 10⁷ toys, are 700 s by the benchmarks.
    assert whole.minutes(name) == 5 + 24  # twice 700 s, begun minutes counted, and 5
    assert {cut_up.minutes(name) for name in cut_up.batches} == {5 + 1}
    assert cut_up.minutes() > whole.minutes()  # more batches to read
    track = study(10**12, model={"name": "track3d"})
    assert track.megabytes - whole.megabytes == 100 * (len(track.model.coordinates) - 1) > 0
