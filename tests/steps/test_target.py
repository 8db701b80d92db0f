"""The value of a number that reaches a wanted mean σ, found for a study."""

import numpy as np
import pytest
from configs import load
from running import Run
from typechecker import unchecked

from pullback.config.dotted_names import numeric_fields, range_of, with_numbers
from pullback.errors import PullbackError
from pullback.report.figures.target import target_figure
from pullback.steps.target import find_target
from pullback.store.target_file import TargetAnswer, TargetAnswers
from pullback.study.plan import Study


def answers(tmp_path, **raw):
    study = Study.from_config({"study": "s", "source": {"muons": 2000}, **raw})
    with unchecked():
        find_target(study, tmp_path / "target.json")
    return TargetAnswers.read(tmp_path / "target.json").answers


def test_a_slope_of_equally_spaced_layers(tmp_path):
    """σ_slope = (σ/L) sqrt(12 (N - 1) / (N (N + 1))) by the closed form, whatever the muons."""
    z = [0.0, 0.5, 1.0, 1.5]
    wanted = 0.002
    (answer,) = answers(
        tmp_path, model={"name": "track", "z": z}, target={"sigma_slope": wanted, "vary": "detector.resolution"}
    )
    assert answer.reached
    assert answer.value == pytest.approx(np.sqrt(12 * 3 / (4 * 5)) / 1.5 / wanted, rel=1e-9)


def test_a_height(tmp_path):
    """Two layers: σ_slope = sqrt(2) σ / (z1 - z0)."""
    (answer,) = answers(
        tmp_path,
        model={"name": "track", "z": [0.0, 1.0]},
        detector={"resolution": 1000.0},
        target={"sigma_slope": 0.001, "vary": "model.z[1]", "between": [0.5, 5.0]},
    )
    assert answer.value == pytest.approx(np.sqrt(2), rel=1e-9)
    assert answer.further == []
    assert max(answer.grid) < 2  # values are tried from the present one outward


def test_a_mean_sigma_is_computed_once_for_each_value_and_said(tmp_path, caplog):
    caplog.set_level("INFO", "pullback")
    (answer,) = answers(tmp_path, target={"sigma_theta": 0.004, "vary": "detector.resolution"})
    *tried, last = (record.getMessage() for record in caplog.records)
    assert len(tried) == len(set(answer.grid)) < 12
    assert sum("detector.resolution = 100: mean σ 0.00" in line for line in tried) == 1
    assert (answer.known, answer.muons) == (2000, 2000)
    assert last == f"nominal: detector.resolution = {answer.value:g} gives the wanted mean σ"


@pytest.mark.parametrize(("dz", "nearest"), [(0.45, 0.25), (0.49, 0.25), (0.55, 1.0), (0.9, 1.0)])
def test_the_nearest_of_several_heights_is_given(dz, nearest, tmp_path):
    """One hit at x: σ = dz/(dz² + x²)/resolution is the wanted one at 0.25 m and 1 m."""
    (tmp_path / "hits.csv").write_text("x\n0.5\n")
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    target = {"sigma_theta": 8e-5, "vary": "model.dz"}
    model, detector = {"name": "one_hit", "dz": dz}, {"resolution": 1e4}
    (answer,) = answers(tmp_path, source=source, detector=detector, model=model, target=target)
    assert answer.value == pytest.approx(nearest, rel=1e-6)


def test_the_order_of_layers_bounds_no_search(tmp_path):
    """A layer passes another, at whose height it would measure the same twice; σ of the slope is that of Σ(z − z̄)²."""
    raw = {"detector": {"resolution": 1000.0}, "target": {"sigma_slope": 0.00085, "vary": "model.z[1]"}}
    (answer,) = answers(tmp_path, model={"name": "track", "z": [0.0, 0.4, 0.9]}, **raw)
    spread = (0.001 / 0.00085) ** 2
    assert np.var([0.0, answer.value, 0.9]) * 3 == pytest.approx(spread, rel=1e-8)


def test_none_does(tmp_path, caplog):
    caplog.set_level("INFO", "pullback")
    (answer,) = answers(
        tmp_path,
        model={"name": "track", "z": [0.0, 1.0]},
        detector={"resolution": 1000.0},
        target={"sigma_slope": 1e-5, "vary": "model.z[1]", "between": [0.5, 5.0]},
    )
    assert (answer.reached, answer.value) == (False, None)
    assert answer.nearest == pytest.approx(5.0)
    assert answer.nearest_sigma == pytest.approx(np.sqrt(2) / 1000 / 5)
    assert caplog.messages[-1] == (
        "nominal: no value of model.z[1] from 0.5 to 5 gives the wanted mean σ; the nearest is 0.000282843, at 5"
    )


def test_the_mean_sigma_is_that_of_the_study(tmp_path):
    """Found at the resolution that the study has: the mean σ of its own muons, with the hits that it has."""
    raw = {"model": {"name": "track", "theta0": 0.01}, "detector": {"resolution": 500.0, "efficiency": 0.9}}
    (first,) = answers(tmp_path, **raw, target={"sigma_theta": 0.001, "vary": "detector.resolution"})
    again = {**raw, "target": {"sigma_theta": first.start_sigma, "vary": "detector.resolution"}}
    (answer,) = answers(tmp_path, **again)
    assert answer.value == pytest.approx(500.0, rel=1e-8)


def test_points_that_differ_in_that_number_alone_are_one(tmp_path):
    found = answers(
        tmp_path,
        target={"sigma_theta": 0.002, "vary": "detector.resolution"},
        scan={"detector.resolution": [50, 100], "model.dz": [1.0, 1.5]},
    )
    assert [each.values for each in found] == [{"model.dz": 1.0}, {"model.dz": 1.5}]
    assert found[0].value != found[1].value


OWN = """
import numpy as np
import torch


def infer(hits, dz):
    x0, x1 = hits.unbind(1)
    return torch.arctan((x1 - x0) / dz)[:, None]


def draw(rng, muons, dz):
    x0 = rng.uniform(-0.5, 0.5, muons)
    return np.stack([x0, x0 + dz * np.tan(rng.normal(0.0, 0.5, muons))], axis=1)
"""


def test_true_hits_that_are_drawn_by_the_parameter_are_drawn_anew(tmp_path):
    """σ = √2 σ_x cos²θ/dz: with the angles of the muons as they are at any dz, it goes nearly as 1/dz."""
    (tmp_path / "my_model.py").write_text(OWN)
    model = {
        "file": str(tmp_path / "my_model.py"),
        "coordinates": ["x0", "x1"],
        "observables": [{"name": "theta", "unit": "rad", "fold": "none"}],
        "parameters": {"dz": 0.5},
        "draw": "draw",
    }
    target = {"sigma_theta": 0.002, "vary": "model.dz"}
    found = [
        answers(tmp_path, detector={"resolution": 1000.0}, model=model, target={**target, "between": between})[0]
        for between in ([0.05, 5.0], [0.4, 0.6])
    ]
    assert found[0].start_sigma == found[1].start_sigma
    assert found[0].value * 0.002 == pytest.approx(0.5 * found[0].start_sigma, rel=2e-3)


def test_near_a_fold_the_sigma_is_the_quoted_one(tmp_path):
    """At x = 0 the law of θ is a folded normal: its standard deviation is √(1 − 2/π) that of a normal one."""
    (tmp_path / "hits.csv").write_text("x\n0.0\n")
    recorded = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    (answer,) = answers(tmp_path, source=recorded, target={"sigma_theta": 1e-4, "vary": "detector.resolution"})
    assert answer.value == pytest.approx(np.sqrt(1 - 2 / np.pi) / 1.5 / 1e-4, rel=1e-5)


def test_an_observable_of_many_is_the_one_of_its_own(tmp_path):
    """The point of closest approach, by the mean of what a study quotes."""
    raw = {"model": {"name": "scatter"}, "detector": {"resolution": 5000}, "source": {"muons": 10}}
    target = {"sigma_poca_z": 0.1, "vary": "detector.resolution", "between": [3000, 10000]}
    (answer,) = answers(tmp_path, **raw, target=target)
    run = Run({"study": "s", **raw, "toys": {"muons": 2, "per_muon": 2}}, tmp_path)
    sigma = run.make().columns()["nominal/sigma_poca_z"]
    assert answer.start_sigma == pytest.approx(np.nanmean(sigma), rel=1e-12)


def test_recorded_hits(tmp_path):
    (tmp_path / "hits.csv").write_text("x\n0.3\n\n0.4\n")
    (answer,) = answers(
        tmp_path,
        source={"kind": "recorded", "file": str(tmp_path / "hits.csv")},
        target={"sigma_theta": 0.001, "vary": "detector.resolution"},
    )
    slopes = [1.5 / (1.5**2 + x**2) for x in (0.3, 0.4)]
    assert answer.value == pytest.approx(np.mean(slopes) / 0.001, rel=1e-9)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"sigma_phi": 0.1, "vary": "model.dz"}, "target.sigma.phi: no such observable; the model has theta"),
        ({"sigma_theta": 0.1, "vary": "model.d"}, "target.vary: model.d: no such number; did you mean model.dz?"),
        (
            {"sigma_theta": 0.1, "vary": "detector.sigma"},
            "target.vary: detector.sigma: has no value in the config to vary; give it one in place of detector.reso",
        ),
        ({"sigma_theta": 0.1, "vary": "toys.muons"}, "target.vary: toys.muons: no such number"),
        ({"sigma_theta": 0.1, "vary": "model.dz", "between": [2.0, 3.0]}, "model.dz = 1.5 must be inside"),
        ({"sigma_theta": 0.1, "vary": "model.dz", "between": [3.0, 1.0]}, "is reversed, [3, 1]; give the smaller"),
        ({"sigma_theta": 0.0, "vary": "model.dz"}, "target.sigma.theta: is 0.0"),
        ({"vary": "model.dz"}, "target.sigma: is missing"),
    ],
)
def test_mistakes_are_refused_in_one_line(target, expected):
    with pytest.raises(PullbackError) as caught:
        Study.from_config({"study": "s", "target": target})
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_a_target_is_not_made_from_is_not_handed_to_its_job(tmp_path):
    raw = {
        "study": "s",
        "source": {"muons": 500},
        "model": {"name": "track"},
        "detector": {"efficiency": 0.9},
        "target": {"sigma_theta": 0.004, "vary": "detector.resolution", "between": [50, 400]},
        "scan": {"model.theta0": [0.0, 0.01]},
    }
    aside = {
        "toys": {"muons": 7},
        "validation": {"strict": True},
        "figures": {"points": "all"},
        "systematics": {"model.z[2]": 0.01},
        "compute": {"batch_cost": 5},
    }
    study, other = Study.from_config(raw), Study.from_config({**raw, **aside})
    assert study.target_to_json() == other.target_to_json()
    assert study.to_json() != other.to_json()
    changes = {
        "seed": 2,
        "source": {"muons": 1000},
        "detector": {"efficiency": 0.8},
        "model": {"name": "track", "z": [0.0, 0.5, 2.0]},
        "target": {**raw["target"], "sigma_theta": 0.005},
        "scan": {"model.theta0": [0.0, 0.02]},
        "uncertainty": {"n_dig": 2},
    }
    for name, value in changes.items():
        assert Study.from_config({**raw, name: value}).target_to_json() != study.target_to_json()
    for each, name in ((other.target_to_json(), "handed"), (other.to_json(), "whole")):
        find_target(Study.from_json(each), tmp_path / name)
    assert (tmp_path / "handed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_range_must_be_given_about_zero():
    raw = {"study": "s", "model": {"name": "track"}, "target": {"sigma_slope": 0.1, "vary": "model.z[0]"}}
    with pytest.raises(PullbackError, match=r"target.between: must be given, since model.z\[0\] is 0"):
        Study.from_config(raw)


def test_a_range_must_be_given_about_zero_in_a_scan():
    model = {"name": "track", "theta0": 0.01}
    raw = {"study": "s", "model": model, "target": {"sigma_slope": 0.1, "vary": "model.theta0"}}
    Study.from_config(raw)
    with pytest.raises(PullbackError, match=r"target.between: must be given, since model.theta0 is 0"):
        Study.from_config({**raw, "scan": {"model.theta0": [0.01, 0.0]}})


def test_scattering_that_is_not_there_at_first(tmp_path):
    """Two layers: σ_slope² = 2 σ²/L², and scattering in the upper layer adds θ0²."""
    (answer,) = answers(
        tmp_path,
        model={"name": "track", "z": [0.0, 1.0], "theta0": 0.0},
        detector={"resolution": 1000.0},
        target={"sigma_slope": 0.002, "vary": "model.theta0", "between": [0.0, 0.01]},
    )
    assert answer.value == pytest.approx(np.sqrt(0.002**2 - 2e-6), rel=1e-9)


LAYERS = {"model": {"name": "track", "z": [0.0, 0.3, 0.7, 1.0]}}


def mean_sigma(tmp_path, **raw):
    """The mean σ_slope of a study that is simulated and propagated rule by rule."""
    run = Run({"study": "s", "source": {"muons": 2000}, "toys": {"muons": 2, "per_muon": 2}, **LAYERS, **raw}, tmp_path)
    sigma = run.make().columns()["nominal/sigma_slope"]
    return np.nanmean(np.where(sigma > 0, sigma, np.nan))


@pytest.mark.parametrize("start", [0.9, 1.0])
def test_losses_are_drawn_by_the_efficiency_that_is_tried(tmp_path, start):
    """Also from a detector without losses: σ is that of a study with this efficiency, to within one lost hit."""
    wanted = mean_sigma(tmp_path / "known", detector={"efficiency": 0.8})
    target = {"sigma_slope": wanted, "vary": "detector.efficiency", "between": [0.5, 1.0]}
    (answer,) = answers(tmp_path, **LAYERS, detector={"efficiency": start}, target=target)
    assert answer.reached
    found = mean_sigma(tmp_path / "found", detector={"efficiency": answer.value})
    assert found == pytest.approx(answer.nearest_sigma, rel=1e-12)
    assert found == pytest.approx(wanted, rel=1e-3)


def test_noise_is_drawn_by_the_shape_that_is_tried(tmp_path):
    """An angle near 0 has a larger σ than a steep one, so that tails of the noise make the mean σ smaller."""
    raw = {**LAYERS, "source": {"muons": 2000, "cosmic": {"zenith_max": 0.01}}}
    noise = lambda fraction: {"resolution": 3.0, "noise": {"kind": "tails", "fraction": fraction, "width": 3.0}}  # noqa: E731
    run = Run({"study": "s", **raw, "detector": noise(0.5), "toys": {"muons": 2, "per_muon": 2}}, tmp_path / "known")
    wanted = float(np.nanmean(run.make().columns()["nominal/sigma_theta"]))
    target = {"sigma_theta": wanted, "vary": "detector.noise.fraction", "between": [0.0, 1.0]}
    (answer,) = answers(tmp_path, **raw, detector=noise(0.1), target=target)
    assert answer.reached
    assert answer.value == pytest.approx(0.5, abs=0.02)


def test_the_figure_and_the_report_say_where_it_is_reached(tmp_path):
    raw = {
        "study": "s",
        "source": {"muons": 500},
        "toys": {"muons": 20, "per_muon": 200},
        "scan": {"model.dz": [1.0, 1.5]},
        "target": {"sigma_theta": 0.0018, "vary": "detector.resolution", "between": [50, 400]},
    }
    svgs = Run(raw, tmp_path).make().show().figures
    assert svgs[-1].name == "target_theta.curve.svg"
    assert svgs[-1].stat().st_size > 5000
    page = (tmp_path / "report.html").read_text(encoding="utf-8").replace("\u202f", " ").replace("\u00a0", " ")
    assert "<code>model.dz</code> = 1.5 m: <code>detector.resolution</code> = " in page
    reached, not_reached = TargetAnswers.read(tmp_path / "target.json").answers[::-1]
    assert f"<code>detector.resolution</code> = <b>{reached.value:.4g} /m</b> gives a mean σ of θ of 1.8 mrad" in page
    assert "The present value is 100 /m, with a mean σ of" in page
    assert "<b>No value</b> of <code>detector.resolution</code> from 50 /m to 400 /m gives a mean σ of θ" in page
    assert page.index("gives a mean σ of θ of 1.8 mrad") < page.index("<summary>The first")  # before all tables
    assert f"the nearest is {1000 * not_reached.nearest_sigma:.3g} mrad, at 400 /m" in page


def test_muons_without_any_sigma_are_drawn_and_said(tmp_path):
    """No muon has a line, whatever the resolution is."""
    raw = {
        "study": "s",
        "source": {"muons": 20},
        "detector": {"efficiency": 1e-9},
        "model": {"name": "track"},
        "toys": {"muons": 2, "per_muon": 2},
        "target": {"sigma_theta": 0.0018, "vary": "detector.resolution"},
    }
    Run(raw, tmp_path).make().show()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No value of <code>detector.resolution</code> that was tried gives any σ." in page


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (
            {"sigma": {"theta": 0.1}, "sigma_theta": 0.2, "vary": "model.dz"},
            "config: target: has both sigma and sigma_theta; give one of them",
        ),
        (
            {"sigma": {"theta": 0.1}, "sigma_phi": 0.2, "vary": "model.dz"},
            "config: target: has both sigma and sigma_phi; give one of them",
        ),
        (
            {"sigma_theta": 0.1, "vary": "detector.efficiency", "between": [0.5, 1000.0]},
            "config: target.between: detector.efficiency: is 1000.0; it should be less than or equal to 1",
        ),
        (
            {"sigma_theta": 0.1, "vary": "detector.efficiency", "between": [0.0, 1.0]},
            "config: target.between: detector.efficiency: is 0.0; it should be greater than 0",
        ),
        (
            {"sigma_theta": 0.1, "vary": "model.dz", "between": [-1.0, 1e7]},
            "config: target.between: model.dz: is -1.0; it must be positive",
        ),
        (
            {"sigma_theta": 0.1, "vary": "detector.resolution", "between": [1.0, 1e13]},
            "config: target.between: detector.resolution: is 10000000000000.0; it should be less than or equal to",
        ),
    ],
)
def test_what_would_be_dropped_or_is_out_of_limits_is_refused_in_one_line(target, expected):
    with pytest.raises(PullbackError) as caught:
        Study.from_config({"study": "s", "target": target})
    assert str(caught.value).startswith(expected)
    assert len(str(caught.value).splitlines()) == 1


def test_a_range_of_a_number_in_a_list_is_within_its_limits():
    raw = {"study": "s", "model": {"name": "track"}, "detector": {"resolution": [100, 200, 300]}}
    target = {"sigma_slope": 0.1, "vary": "detector.resolution[2]", "between": [1.0, 1e13]}
    with pytest.raises(
        PullbackError, match=r"target.between: detector.resolution\[2\]: is 10000000000000.0; it should"
    ):
        Study.from_config({**raw, "target": target})
    target = {"sigma_slope": 0.1, "vary": "model.z[2]", "between": [0.5, 2e6]}
    with pytest.raises(PullbackError, match=r"target.between: model.z\[2\]: is 2000000.0; it should be less than"):
        Study.from_config({**raw, "target": target})


def test_by_default_a_number_is_looked_for_within_its_limits(tmp_path):
    """The more hits there are, the more of the muons have three: σ of the slope falls with the efficiency."""
    (answer,) = answers(
        tmp_path,
        model={"name": "track"},
        detector={"efficiency": 0.5},
        target={"sigma_slope": 1e-5, "vary": "detector.efficiency"},
    )
    assert not answer.reached
    assert (answer.grid[0], answer.grid[-1]) == (pytest.approx(0.0005), 1.0)
    assert np.isfinite(answer.sigmas[-5:]).all()
    (answer,) = answers(
        tmp_path, detector={"resolution": 1e-5}, target={"sigma_theta": 1e-9, "vary": "detector.resolution"}
    )
    assert answer.grid[0] == 1e-6
    noise = {"noise": {"kind": "tails", "fraction": 0.1}}
    (answer,) = answers(tmp_path, detector=noise, target={"sigma_theta": 1e-9, "vary": "detector.noise.fraction"})
    assert answer.grid[-1] == 1.0


def test_every_number_has_the_limits_that_the_config_enforces():
    noises = [{"kind": "tails"}, {"kind": "strip"}, {"kind": "clipped"}]
    models = [{"name": "one_hit"}, {"name": "track", "theta0": 0.1}, {"name": "scatter"}]
    for model, noise in zip(models, noises, strict=True):
        config = load({"study": "s", "model": model, "detector": {"noise": noise}})
        for name in numeric_fields(config):
            low, high = range_of(name, config)
            for value, beyond in ((low, low - max(1, abs(low))), (high, high + max(1, abs(high)))):
                keys = f"config: {name.split('[')[0]}"
                assert not fault(config, name, value).startswith(f"{keys}: is")
                if abs(value) < 1e299:
                    assert fault(config, name, beyond).startswith(keys)


def fault(config, name, value):
    try:
        with_numbers(config, {name: value}, where="config")
    except PullbackError as error:
        return str(error).replace("[0]", "").replace("[1]", "").replace("[2]", "")
    return ""


WIDE = """
import torch


def infer(hits, gain):
    return hits * torch.where((gain > 3e57) & (gain < 3e58), gain / 1e60, 1.0)
"""


def wide_study(tmp_path, between):
    (tmp_path / "my_model.py").write_text(WIDE)
    model = {
        "file": str(tmp_path / "my_model.py"),
        "coordinates": ["x"],
        "observables": [{"name": "y", "unit": "m", "fold": "none"}],
        "parameters": {"gain": 1e50},
    }
    target = {"sigma_y": 5e-5, "vary": "model.gain", "between": between}
    return Study.from_config({"study": "s", "source": {"muons": 30}, "model": model, "target": target})


def test_a_sigma_that_a_decade_of_a_parameter_has_among_forty(tmp_path):
    """σ = gain σ_x / 1e60 within a decade, and σ_x beyond it."""
    with unchecked():
        find_target(wide_study(tmp_path, [1e40, 1e80]), tmp_path / "target.json")
    (answer,) = TargetAnswers.read(tmp_path / "target.json").answers
    assert answer.value == pytest.approx(5e57, rel=1e-9)


def test_six_hundred_decades_are_drawn(tmp_path):
    grid = np.geomspace(1e-299, 1e299, 50)
    curve = {"grid": grid.tolist(), "sigmas": np.linspace(1e-3, 1e-2, 50).tolist(), "start": 1e50, "start_sigma": 5e-3}
    answer = TargetAnswer(values={}, value=5e57, reached=True, nearest=5e57, nearest_sigma=5e-3, **curve)
    target = TargetAnswers(observable="y", wanted=5e-3, vary="model.gain", answers=[answer])
    canvas = target_figure(wide_study(tmp_path, [1e-299, 1e299]), target)
    assert canvas.axes[0].get_xlim() == (pytest.approx(1e-299), pytest.approx(1e299))
    canvas.savefig(tmp_path / "figure.svg")
    ticks = [float(each) for each in canvas.axes[0].get_xticks()]
    assert 5 <= len(ticks) <= 8
    assert (np.log10(ticks) % 1 == 0).all()
