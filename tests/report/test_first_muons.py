import h5py
import numpy as np
import pytest
from running import SMALL, Run

from pullback.report.first_muons import FIRST_SHOWN, FirstMuons, at_digit, with_sigma
from pullback.store.study_file import open_study


@pytest.mark.parametrize(
    ("value", "sigma", "expected"),
    [
        (312.46, 5.9, "312.5"),
        (312.46, 0.0995, "312.46"),  # σ is 0.10 to two digits
        (312.46, 140.0, "310"),
        (-0.04, 1.2, "0.0"),
        (0.0, 5.9, "0.0"),
        (float("nan"), 5.9, "–"),
        (312.46, float("nan"), "312.46"),
        (312.46, 0.0, "312.46"),
    ],
)
def test_digits_are_those_that_sigma_deserves(value, sigma, expected):
    assert at_digit(value, sigma) == expected


def test_an_unknown_sigma_is_a_dash():
    assert with_sigma(1.0, float("nan")) == "1 ± –"


def table_of(run):
    with open_study(run.outputs.study) as reader:
        table = FirstMuons(run.study, reader).table()
    return [cell.text for cell in table.heads[0].cells], [[cell.text for cell in row.cells] for row in table.rows]


def test_the_first_muons_are_those_of_the_file(tmp_path):
    run = Run(SMALL, tmp_path).make()
    heads, rows = table_of(run)
    assert heads == ["muon", "x (mm)", "θ ± σ (rad)", "68.27 % confidence interval (rad)"]
    assert len(rows) == FIRST_SHOWN
    with h5py.File(run.outputs.study) as file:
        point = file["detector.resolution=100,model.dz=1.5"]  # that of the figures, nearest the config without the scan
        hits = 1000 * point["x_reco"][:FIRST_SHOWN].ravel()
        theta, sigma, ends = (point[name][:FIRST_SHOWN] for name in ("theta", "sigma_theta", "confidence68_theta"))
    assert [hit for _, hit, *_ in rows] == [f"{hit:.0f}" for hit in hits]  # σ is 10 mm
    for index, (_, _, quoted, interval) in enumerate(rows):
        value, width = map(float, quoted.split(" ± "))
        assert value == pytest.approx(theta[index], abs=0.05 * sigma[index])
        assert width == pytest.approx(sigma[index], rel=0.05)
        found = [float(end) for end in interval.split(" to ")]
        np.testing.assert_allclose(found, ends[index], rtol=0, atol=0.05 * sigma[index])


def test_a_muon_without_a_hit_is_flagged(tmp_path):
    (tmp_path / "hits.csv").write_text("x\n0.51234\nnan\n0.25\n")
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    run = Run({"study": "r", "source": source, "toys": {"muons": 3, "per_muon": 100}}, tmp_path).make()
    heads, rows = table_of(run)
    assert heads[-1] == "flags"
    assert len(rows) == 3
    assert rows[1] == ["1", "–", "–", "–", "hit not finite"]
    assert rows[0][-1] == rows[2][-1] == ""
    assert [hit for _, hit, *_ in rows] == ["512.34", "–", "250"]  # as they were read


def test_observables_come_before_many_hits(tmp_path):
    """Three hits would push the angles out of sight on a phone; with two, hits come first."""
    for layers, first in ((2, "hits"), (3, "dx/dz (slope)")):
        track = {"name": "track", "z": [0.1 * layer for layer in range(layers)]}
        raw = {"study": "t", "model": track, "source": {"muons": 50}, "toys": {"muons": 2, "per_muon": 100}}
        run = Run(raw, tmp_path / str(layers)).make()
        with open_study(run.outputs.study) as reader:
            table = FirstMuons(run.study, reader).table()
        groups, heads = (row.cells for row in table.heads)
        assert [cell.text for cell in groups][:2] == ["", first]
        assert sum(cell.span for cell in groups) == len(heads) == len(table.rows[0].cells)
        assert sorted(cell.span for cell in groups) == [1, 2, 2, 2, layers]
