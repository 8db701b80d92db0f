import math

import numpy as np
import pytest
import torch
import yaml
from fitted_hits import tally_of

from pullback.config.model_schema import OneHit, Scatter, Track, Track3d
from pullback.config.schema import Validation
from pullback.models import load_model
from pullback.models.multiple_scattering import layer_covariance
from pullback.statistics.intervals import Verdict
from pullback.study.plan import Study
from pullback.validation.fit_evidence import Untested
from pullback.validation.fit_judgement import FitJudge

Z, SIGMA, MUONS = [0.0, 0.2, 0.4, 0.6], 1e-3, 20_000
MODEL = load_model(Track(z=Z))


class Tracks:
    """Recorded hits of straight tracks in one view, honest before a test changes them."""

    def __init__(self, seed=1, muons=MUONS, z=Z):
        rng = np.random.default_rng(seed)
        self.slope, at_zero = rng.normal(0, 0.3, muons), rng.uniform(-0.5, 0.5, muons)
        self.true = at_zero[:, None] + self.slope[:, None] * np.array(z)
        self.noise = SIGMA * rng.normal(size=self.true.shape)
        self.lost = rng.random(self.true.shape)

    @property
    def hits(self):
        return self.true + self.noise


def judged(hits, model=MODEL, recorded=None, among=1, sigma=SIGMA, **settings):
    units = np.broadcast_to(sigma, len(model.coordinates)).tolist()
    judge = FitJudge(model, units, Validation(**settings), among, own_sigma=recorded is not None)
    resolution = 1 / sigma if isinstance(sigma, float) else [1 / each for each in sigma]
    return judge.result("nominal", tally_of(model, resolution, hits, recorded))


def sigma_of(line, **model):
    """σ as the config reads it from the line of what the data want."""
    model = {"name": "track", "z": Z, **model}
    return Study.from_config({"study": "s", "model": model, **yaml.safe_load(line)}).config.detector.sigma


@pytest.mark.parametrize("seed", range(5))
def test_honest_tracks_pass(seed):
    entry = judged(Tracks(seed).hits)
    assert entry.verdict == Verdict.PASS
    assert entry.reasons == entry.more == []
    assert entry.width.value == pytest.approx(1, abs=4 * entry.width.se)
    (wanted,) = entry.resolution
    assert wanted.coordinates == ["x0", "x1", "x2", "x3"]
    assert wanted.wanted.value == pytest.approx(SIGMA, rel=0.02)
    assert sigma_of(entry.line) == pytest.approx(SIGMA, rel=0.02)


def test_honest_tracks_of_many_kinds_pass():
    tracks = Tracks(z=[0.0, 0.5, 1.0])
    assert judged(tracks.hits, load_model(Track(z=[0.0, 0.5, 1.0]))).verdict == Verdict.PASS
    missing = np.where(Tracks().lost < 0.05, np.nan, Tracks().hits)
    assert judged(missing).verdict == Verdict.PASS
    strips = Tracks()
    strips.noise = SIGMA * math.sqrt(12) * (strips.lost - 0.5)
    assert judged(strips.hits).verdict == Verdict.PASS
    theta0, layers = 5e-3, layer_covariance(torch.tensor(Z), 5e-3).numpy()
    kicks = np.random.default_rng(2).multivariate_normal(np.zeros(4), layers, MUONS)
    assert judged(Tracks().hits + kicks, load_model(Track(z=Z, theta0=theta0))).verdict == Verdict.PASS


def test_pixels_that_are_five_times_longer_than_wide_pass_with_their_own_sigma():
    model = load_model(Track3d(z=Z))
    x, y = Tracks(1), Tracks(2)
    x.noise *= 5
    hits = np.concatenate([x.hits, y.hits], axis=1)
    own = np.tile([25 * SIGMA**2] * 4 + [SIGMA**2] * 4, (MUONS, 1))
    assert judged(hits, model, own).verdict == Verdict.PASS
    wrong = judged(hits, model, np.tile([25 * SIGMA**2] * 4 + [SIGMA**2 / 2.56] * 4, (MUONS, 1)))
    assert wrong.verdict == Verdict.FAIL
    expected = "the data want 1.5965 ± 0.0056 times the stated σ in y₀–y₃, 997.8 ± 3.5 µm in the root mean square"
    assert wrong.reasons[0].startswith(expected)
    assert wrong.line == ""  # σ is not in the config


def test_the_line_for_the_config_is_by_view_where_x_and_y_differ():
    x, y = Tracks(1), Tracks(2)
    x.noise *= 1.5
    entry = judged(np.concatenate([x.hits, y.hits], axis=1), load_model(Track3d(z=Z)))
    assert entry.verdict == Verdict.FAIL
    found = sigma_of(entry.line, name="track3d")
    assert found["x"] == pytest.approx(1.5 * SIGMA, rel=0.02)
    assert found["y"] == pytest.approx(SIGMA, rel=0.02)


def test_a_layer_that_is_misaligned_by_one_sigma_is_named():
    tracks = Tracks()
    tracks.true[:, 1] += SIGMA
    entry = judged(tracks.hits)
    assert entry.verdict == Verdict.FAIL
    assert entry.chi2_per_ndf == pytest.approx(1.35, abs=0.03)
    assert entry.reasons[1].endswith("; without these causes, the stated resolution is right")
    assert entry.reasons[0].startswith("hits of x₁ are 995.3 ± 10.0 µm too far along +x")
    assert len(entry.reasons) == 2
    assert entry.coordinates[1].offset_alone.value == pytest.approx(SIGMA, abs=5e-5)
    line = np.array([each.offset.value for each in entry.coordinates])
    np.testing.assert_allclose(np.polyfit(Z, line, 1), 0, atol=1e-5 * SIGMA)


def test_a_layer_that_is_five_millimetres_too_high_is_named():
    tracks = Tracks()
    tracks.true[:, 2] += 2e-3 * tracks.slope  # 2 mm, and once more 5 mm
    assert judged(tracks.hits).reasons[0].startswith("residuals of x₂ change with the slope of the track")
    assert judged(tracks.hits).coordinates[2].height.value == pytest.approx(2e-3, rel=0.05)
    tracks.true[:, 2] += 3e-3 * tracks.slope
    entry = judged(tracks.hits)
    height = entry.coordinates[2].height
    assert height.value == pytest.approx(5e-3, abs=4 * height.se)
    assert height.se < 1e-4
    assert entry.left_out is None
    assert entry.verdict == Verdict.FAIL
    assert "mm higher than stated" in entry.reasons[0]


@pytest.mark.parametrize("layer", range(4))
def test_a_layer_that_is_twenty_per_cent_worse_is_named(layer):
    tracks = Tracks()
    tracks.noise[:, layer] *= 1.2
    entry = judged(tracks.hits)
    assert entry.verdict == Verdict.FAIL
    (wanted,) = entry.resolution
    assert (wanted.coordinates, wanted.alone) == ([f"x{layer}"], True)
    assert wanted.factor.value == pytest.approx(1.2, abs=4 * wanted.factor.se)
    expected = [SIGMA] * 4
    expected[layer] = wanted.wanted.value
    assert sigma_of(entry.line) == pytest.approx(expected, rel=1e-3)


def test_layers_of_different_sigma_that_are_alike_worse_keep_their_ratios():
    stated = SIGMA * np.array([1.0, 1.0, 2.0, 0.5])
    tracks = Tracks()
    entry = judged(tracks.true + 1.25 * tracks.noise * stated / SIGMA, sigma=stated.tolist())
    assert entry.verdict == Verdict.FAIL
    assert entry.reasons[0].startswith("the data want 1.2")
    assert "times the stated σ in x₀–x₃" in entry.reasons[0]
    assert sigma_of(entry.line) == pytest.approx((1.25 * stated).tolist(), rel=0.02)


@pytest.mark.parametrize("own_sigma", [False, True])
def test_a_wanted_sigma_is_that_of_the_layers_before_they_are_scaled(own_sigma):
    """Fitted positions are drawn out by 25 %: so is their noise of 1.3 σ, and the covariance by which they are fitted.

    A detector that states what is wanted has a factor of 1.
    """
    tracks, stretch = Tracks(), 1.25
    hits, in_frame = tracks.true + 1.3 * stretch * tracks.noise, stretch * SIGMA
    own = np.full((MUONS, 4), in_frame**2) if own_sigma else None
    tally = tally_of(MODEL, 1 / in_frame, hits, own)
    judge = FitJudge(MODEL, [SIGMA] * 4, Validation(), 1, own_sigma=own_sigma, stretch=np.full(4, stretch))
    entry = judge.result("nominal", tally)
    (wanted,) = entry.resolution
    assert wanted.stated == pytest.approx(SIGMA, rel=1e-9)
    assert wanted.wanted.value == pytest.approx(1.3 * SIGMA, rel=0.02)
    if own_sigma:
        assert entry.line == ""
    else:
        assert "(stated 1 mm)" in entry.reasons[0]
        assert sigma_of(entry.line) == pytest.approx(1.3 * SIGMA, rel=0.02)


def test_a_sigma_that_hits_do_not_determine_is_not_wanted():
    """Two lines of hits, over and over: their residuals have no scatter that would tell σ."""
    rows = np.array([[0.1, 0.2, 0.3, 0.4], [0.1, 0.21, 0.31, 0.4]])
    entry = judged(np.tile(rows, (50, 1)), sigma=1e-5)
    assert entry.verdict == Verdict.FAIL
    text = "; ".join(entry.reasons)
    assert "data want" not in text
    assert "stated resolution is right" not in text
    assert entry.line == ""


def test_a_sigma_that_differs_by_chance_is_not_wanted():
    """Of five layers of 60 tracks, one is three times worse; what the others want is known to 10 to 20 %."""
    z = [0.0, 0.2, 0.4, 0.6, 0.8]
    for seed in range(5):
        tracks = Tracks(seed, muons=60, z=z)
        tracks.noise[:, 2] *= 3
        entry = judged(tracks.hits, load_model(Track(z=z)))
        deviating = [each.coordinates for each in entry.resolution if abs(each.factor.value - 1) > 0.05]
        assert len(deviating) > 1
        assert entry.reasons[0].startswith("the data want σ = ")
        wanted = entry.reasons[0].split("; ")[0]
        assert wanted.count(" in x") == 1
        assert " in x₂ " in wanted


@pytest.mark.parametrize(("factor", "words"), [(2.0, "σ = 2."), (0.8, "σ = 80"), (1.3, "σ = 1.3")])
def test_a_detector_that_is_worse_or_better_than_stated_fails(factor, words):
    tracks = Tracks()
    tracks.noise *= factor
    entry = judged(tracks.hits)
    assert entry.verdict == Verdict.FAIL
    (reason,) = entry.reasons
    assert words in reason
    assert "mm in x₀–x₃ (stated 1 mm)" in reason or "µm in x₀–x₃ (stated 1 mm)" in reason
    assert entry.chi2_per_ndf == pytest.approx(factor**2, rel=0.05)


def scattering(z, theta0, muons=MUONS):
    """Hits of muons that step through the layers from above, with an angle at each."""
    rng = np.random.default_rng(3)
    order = np.argsort(z)[::-1]
    x, slope, hits = rng.uniform(-0.5, 0.5, muons), rng.normal(0, 0.3, muons), np.empty((muons, len(z)))
    for place, index in enumerate(order):
        if place:
            x = x - (z[order[place - 1]] - z[index]) * slope
        hits[:, index] = x
        slope = slope + theta0 * rng.normal(size=muons)
    return hits + SIGMA * rng.normal(size=hits.shape)


@pytest.mark.parametrize("spoilt", ["diagonal", "permuted", "none"])
def test_a_wrong_covariance_of_scattering_in_the_model_itself_fails(spoilt):
    hits = scattering(Z, 5e-3)
    honest = load_model(Track(z=Z, theta0=5e-3))
    assert judged(hits, honest).verdict == Verdict.PASS

    def covariance(hits, z, theta0):
        found = honest.covariance(hits, z=z, theta0=theta0)
        order = torch.tensor([2, 0, 3, 1])  # the bends at the wrong layers
        return {"diagonal": torch.diag(found.diagonal()), "permuted": found[order][:, order], "none": 0 * found}[spoilt]

    wrong = judged(hits, honest.__class__(**{**vars(honest), "covariance": covariance}))
    assert wrong.verdict == Verdict.FAIL


def test_wrong_tracks_are_told_from_a_wrong_resolution():
    tracks = Tracks()
    wrong = tracks.lost[:, 0] < 0.03
    tracks.noise[wrong] *= 50
    entry = judged(tracks.hits)
    assert entry.verdict == Verdict.FAIL
    assert any("wrong tracks (outliers), since the median width is right" in reason for reason in entry.reasons)
    assert entry.resolution[0].factor.value == pytest.approx(1, abs=0.03)
    assert entry.left_out > 0.02


def test_exchanged_layers_are_named_however_fine_the_resolution():
    """With residuals of 1000 σ, the median of χ² is beyond its histogram, and no track is left out by it."""
    z = [0.0, 0.2, 0.5, 0.6]  # of equidistant layers the outer two could be exchanged as well
    tracks = Tracks(z=z)
    hits = tracks.true + 1e-2 * tracks.noise
    entry = judged(hits[:, [0, 2, 1, 3]], load_model(Track(z=z)), sigma=1e-2 * SIGMA)
    assert "layers 1 and 2 of model.z look exchanged" in entry.reasons[0]
    assert entry.left_out is None


def test_wrong_tracks_come_before_a_resolution_where_most_tracks_are_right():
    tracks = Tracks()
    tracks.noise[tracks.lost < 0.03] *= 20
    entry = judged(tracks.hits)
    assert "wrong tracks (outliers), since the median width is right" in entry.reasons[0]


@pytest.mark.parametrize("shape", ["line", "wave"])
def test_a_slow_drift_fails(shape):
    tracks, time = Tracks(), np.linspace(-1, 1, MUONS)
    tracks.true[:, 2] += SIGMA * (time if shape == "line" else np.cos(3 * math.pi * time))
    entry = judged(tracks.hits)
    assert entry.verdict == Verdict.FAIL
    assert any("change with the muon number" in reason for reason in entry.reasons)


def test_few_muons_decide_nothing_and_it_is_said_how_many_would():
    entry = judged(Tracks(muons=300).hits)
    assert entry.verdict == Verdict.INCONCLUSIVE
    more, wider = entry.remedies
    assert (more.key, more.now, wider.key, wider.now) == ("source.muons", 300, "validation.data_tolerance", 0.05)
    assert entry.more[0] == f"take about {more.value:.0f} muons with degrees of freedom (now 300)"
    assert 5000 < more.value < 12_000
    verdicts = [judged(Tracks(seed, muons=round(more.value)).hits).verdict for seed in range(20)]
    assert verdicts == [Verdict.PASS] * 20
    assert judged(Tracks(muons=300).hits, data_tolerance=wider.value).verdict == Verdict.PASS
    assert judged(Tracks(muons=300).hits, data_tolerance=wider.value - 0.01).verdict == Verdict.INCONCLUSIVE


@pytest.mark.parametrize("muons", [1, 2, 10, 49])
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_very_few_muons_decide_nothing(muons, factor):
    """Their scatter does not tell their errors; of a single one it is 0."""
    tracks = Tracks(muons=muons)
    entry = judged(tracks.true + factor * tracks.noise)
    assert entry.verdict == Verdict.INCONCLUSIVE
    assert entry.muons == muons
    assert entry.more == [f"take about 7200 muons with degrees of freedom (now {muons})"]
    assert "too few" in entry.reasons[0]
    assert entry.coordinates == entry.resolution == []


def test_as_many_muons_as_few_ask_for_decide():
    assert [judged(Tracks(seed, muons=7200).hits).verdict for seed in range(20)] == [Verdict.PASS] * 20


def test_honest_muons_rarely_fail_from_the_fewest_that_are_judged():
    verdicts = [judged(Tracks(seed, muons=50).hits).verdict for seed in range(100)]
    assert verdicts.count(Verdict.FAIL) <= 5
    wrong = Tracks(muons=50)
    assert judged(wrong.true + 3 * wrong.noise).verdict == Verdict.FAIL


def test_as_many_parameters_as_hits_cannot_be_tested():
    model = load_model(Track(z=[0.0, 1.0]))
    entry = judged(Tracks(z=[0.0, 1.0]).hits, model)
    assert (entry.verdict, entry.reasons) == (Untested.UNTESTED, ["as many parameters as hits"])
    one_hit = FitJudge(load_model(OneHit()), [SIGMA], Validation(), 1, own_sigma=False).result("nominal", None)
    assert one_hit.verdict == Untested.UNTESTED
    assert "as many parameters as hits" in one_hit.reasons[0]
    lost = judged(np.full((10, 4), np.nan))
    assert (lost.verdict, lost.reasons) == (Untested.UNTESTED, ["no muon has enough hits for a fit"])


def test_a_tolerance_that_is_wider_passes_what_a_narrow_one_fails():
    tracks = Tracks()
    tracks.noise *= 1.1
    assert judged(tracks.hits).verdict == Verdict.FAIL
    assert judged(tracks.hits, data_tolerance=0.15).verdict == Verdict.PASS


def test_both_trackers_of_a_scattering_study_are_fits_of_their_own():
    model = load_model(Scatter(z_upper=[1.0, 0.8, 0.6], z_lower=[-0.6, -0.8, -1.0]))
    parts = [Tracks(seed, z=[0.0, 0.2, 0.4]).hits for seed in range(4)]
    hits = np.concatenate(parts, axis=1)
    assert judged(hits, model).verdict == Verdict.PASS
    hits[:, 4] += 2 * SIGMA
    entry = judged(hits, model)
    assert entry.verdict == Verdict.FAIL
    off = [each.name for each in entry.coordinates if each.pull_mean.verdict == Verdict.FAIL]
    assert off == ["x3", "x4", "x5"]
    assert "layers are shifted against each other: x₄" in entry.reasons[0]


@pytest.mark.parametrize("size", [1e36, 1e60, 1e100, 1e154, 1e200, 1e308])
@pytest.mark.parametrize("where", [(1,), (0, 1), (0, 1, 2, 3)])
def test_hits_whose_squares_are_no_doubles_are_counted_and_left_out(size, where):
    hits = Tracks(2).hits
    sound = judged(np.delete(hits, [17, 900], axis=0))
    hits[17, where], hits[900, where] = size, -size
    entry = judged(hits)
    assert (entry.beyond, entry.muons) == (2, MUONS)
    assert entry.verdict == sound.verdict == Verdict.PASS
    assert entry.outliers.value * MUONS == pytest.approx(sound.outliers.value * (MUONS - 2) + 2)
    assert entry.chi2_per_ndf == pytest.approx(sound.chi2_per_ndf, rel=1e-12)
    for one, other in zip(entry.coordinates, sound.coordinates, strict=True):
        assert one.pull_sd.value == pytest.approx(other.pull_sd.value, rel=1e-9)
    assert "nan" not in entry.model_dump_json().lower()
    assert "inf" not in entry.model_dump_json().lower()


def test_muons_that_are_left_out_are_said_with_what_to_do():
    hits = Tracks(2).hits * 1.0
    hits[:, 1] += 0.5 * SIGMA
    hits[5, 0] = 1e308
    entry = judged(hits)
    assert entry.verdict == Verdict.FAIL
    said = "1 muon has hits too far out for squares in double precision, and no χ²: leave them out by source.select"
    assert entry.reasons[0] == said


def test_nothing_is_said_of_data_that_are_all_too_far_out():
    entry = judged(Tracks(2).hits[:100] * 1e200)
    assert (entry.verdict, entry.beyond) == (Untested.UNTESTED, 0)


@pytest.mark.parametrize("size", [10.0, 1e6, 1e20, 1e30])
def test_a_few_tracks_that_decide_the_mean_are_named_and_no_layer_is(size):
    hits = Tracks(2).hits
    hits[17, 1] = hits[900, 2] = size
    entry = judged(hits)
    assert entry.verdict != Verdict.PASS
    assert entry.beyond == 0
    assert entry.reasons[0].startswith("residuals of most tracks are 1.00")
    assert "; 3 of 20000 tracks, with p < 1e-4, make χ²/ndf = " in entry.reasons[0]  # these two, and one by chance
    assert not any(word in reason for reason in entry.reasons for word in ("lower", "higher", "scale", "shifted"))
    assert not any("all tracks" in reason or "most tracks" in reason for reason in entry.reasons[1:])
    assert all(len(reason) < 270 for reason in entry.reasons)
    assert entry.more in ([], ["find the few muons with the largest χ², and leave them out if they are no tracks"])
    for each in entry.coordinates:
        assert each.pull_sd.value == pytest.approx(1, abs=0.02)
