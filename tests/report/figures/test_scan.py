import csv

import numpy as np
import pytest
from matplotlib import rc_context
from running import SMALL, Run

from pullback.report.captions import words
from pullback.report.figures.base import STYLE, plt
from pullback.report.figures.scan import OF_SCAN, scan_panels
from pullback.report.gallery import gallery
from pullback.validation.evidence import Evidence

FEW = {**SMALL, "source": {"muons": 500}, "toys": {"muons": 20, "per_muon": 100}}


class Scan:
    """A study's scan: its figure, panels, and the rows of its summary."""

    def __init__(self, scan, folder, **more):
        self.run = Run({**FEW, **more, "scan": scan}, folder).make()
        self.evidence = Evidence.read(self.run.outputs.validation)
        self.figure = next(each for each in gallery(self.run.study) if each.kind == "scan")
        self.rows = [*csv.DictReader(self.run.outputs.summary.read_text().splitlines())]
        with rc_context(STYLE):
            self.canvas = OF_SCAN["scan"](self.run.study, self.evidence, self.figure)
            plt.close(self.canvas)
        self.panels = scan_panels(self.run.study, self.evidence, self.figure)
        self.caption = words(self.figure, self.run.study, self.evidence)[1]

    def axes(self, title):
        """The panels with a title."""
        return [each for each in self.canvas.axes if each.get_title() == title]

    def column(self, name, **fixed):
        """A column of the summary at some points, in ascending order of the parameter on the axis."""
        rows = [row for row in self.rows if all(float(row[key.replace("__", ".")]) == at for key, at in fixed.items())]
        rows.sort(key=lambda row: float(row[next(iter(self.run.study.points[0].values))]))
        return [float(row[name]) for row in rows]


def lines(axes):
    """The lines of a panel with a point for each value, without those of the expected value."""
    return [each for each in axes.lines if each.get_marker() not in ("", "None", None)]


def test_a_scan_of_one_number_is_a_line_of_the_summary(tmp_path):
    found = Scan({"detector.resolution": [200, 50, 100]}, tmp_path)
    (axes,) = found.axes("mean quoted σ")
    (line,) = lines(axes)
    np.testing.assert_array_equal(line.get_xdata(), [50, 100, 200])
    np.testing.assert_allclose(line.get_ydata(), found.column("quoted_mean_sigma"), rtol=1e-9)
    (axes,) = found.axes("mean θ in the linear domain")
    np.testing.assert_allclose(lines(axes)[0].get_ydata(), found.column("mean_value"), rtol=1e-9)
    (axes,) = found.axes("toy sd / quoted σ")
    np.testing.assert_allclose(lines(axes)[0].get_ydata(), found.column("quoted_ratio"), rtol=1e-9)
    (band,) = [each for each in axes.patches if each.get_alpha() == 0.25]
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.95, 1.05))
    assert "a line for each value" not in found.caption


def test_a_scan_of_two_numbers_has_a_line_for_each_value_of_the_second(tmp_path):
    found = Scan({"model.dz": [1.5, 1.0], "detector.resolution": [50, 100, 200]}, tmp_path)
    (axes,) = found.axes("mean quoted σ")
    shown = {each.get_label(): each for each in lines(axes)}
    assert [*shown] == [f"resolution = {at} 1/m" for at in (50, 100, 200)]
    for resolution, line in zip((50, 100, 200), shown.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1.0, 1.5])
        expected = found.column("quoted_mean_sigma", detector__resolution=resolution)
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-9)
    assert axes.get_xlabel() == "dz (m)"
    assert "a line for each value" in found.caption
    (axes,) = found.axes("toy sd / quoted σ")
    at_first = [each.get_xdata()[0] for each in lines(axes)]
    assert len({*at_first}) == 3  # no line hides another
    assert np.ptp(at_first) < 0.1
    assert [each for each in found.canvas.axes if each.images] == []


def test_of_more_numbers_each_further_one_has_its_mean_sigma(tmp_path):
    scan = {"source.x_max": [0.5, 1.0], "model.dz": [1.0, 1.5], "detector.resolution": [50, 100]}
    found = Scan(scan, tmp_path)
    first, last = found.axes("mean quoted σ")
    assert (first.get_xlabel(), last.get_xlabel()) == (r"$x_\mathrm{max}$ (m)", "resolution (1/m)")
    assert [each.get_label() for each in lines(first)] == ["dz = 1 m", "dz = 1.5 m"]
    fixed = {"source__x_max": 1.0, "model__dz": 1.5}
    expected = sorted(found.column("quoted_mean_sigma", **fixed), reverse=True)
    np.testing.assert_allclose(lines(last)[0].get_ydata(), expected, rtol=1e-9)
    assert "each further parameter" in found.caption


def test_at_most_six_values_have_lines_and_what_does_not_change_is_not_drawn(tmp_path):
    found = Scan({"seed": [1, 2], "model.dz": [1.0 + 0.01 * step for step in range(9)]}, tmp_path)
    (axes,) = found.axes("mean quoted σ")
    assert len(lines(axes)) == 6
    labels = [each.get_label() for each in lines(axes)]
    assert (labels[0], labels[-1]) == ("dz = 1 m", "dz = 1.08 m")
    constant = Scan({"toys.per_muon": [100, 101]}, tmp_path / "constant")
    assert constant.axes("mean quoted σ") == []
    assert len(constant.axes("toy sd / quoted σ")) == 1


def test_lists_in_step_beside_another_are_a_line_for_each_value_of_that(tmp_path):
    scan = {"zip": {"model.dz": [1.0, 2.0, 1.5], "detector.resolution": [50, 100, 70]}, "source.x_max": [0.5, 1.0]}
    found = Scan(scan, tmp_path)
    both = lines(found.axes("mean quoted σ")[0])
    assert [each.get_label() for each in both] == [rf"$x_\mathrm{{max}}$ = {each} m" for each in (0.5, 1)]
    assert [each.get_xdata().tolist() for each in both] == [[1.0, 1.5, 2.0]] * 2


def test_points_that_do_not_follow_each_other_are_not_joined(tmp_path):
    scan = {"zip": {"model.dz": [1.0, 1.0, 2.0, 1.5], "detector.resolution": [50, 100, 70, 60]}}
    found = Scan(scan, tmp_path)
    (line,) = lines(found.axes("mean quoted σ")[0])
    assert line.get_linestyle() == "None"
    assert line.get_xdata().tolist() == [1.0, 1.0, 1.5, 2.0]
