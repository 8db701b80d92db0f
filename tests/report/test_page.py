import base64
import hashlib
import html.parser
import re
from urllib.parse import quote

import numpy as np
import pytest
from running import ENOUGH, SMALL, Run

from pullback.report.figures.plot import plot
from pullback.report.formats import percent, typeset
from pullback.report.gallery import gallery
from pullback.report.page import write_report
from pullback.report.setup_wording import SetupWording
from pullback.report.source_tables import budget_of
from pullback.report.wording import Wording
from pullback.study.plan import Study
from pullback.validation.diagnostics import DIAGNOSTICS
from pullback.validation.evidence import Evidence


class Page(html.parser.HTMLParser):
    """The text of a page, and the pictures and links in it."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text):
        super().__init__()
        self.words, self.sources, self.open = [], [], []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)


def report(raw, folder, *, draw=False):
    """A study and its page, with figures or with empty ones in their places."""
    run = Run(raw, folder).make()
    if draw:
        plot(run.study, run.outputs.study, run.outputs.validation, run.figures)
    else:
        (folder / "figures").mkdir()
        for path in run.figures:
            path.write_text("<svg/>")
    write_report(run.study, run.outputs.validation, run.outputs.study, run.figures, folder / "report.html")
    return run, (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    raw = {"study": "default", "scan": {"detector.resolution": [50, 100]}, **ENOUGH}
    return report(raw, tmp_path_factory.mktemp("default"))


def test_the_verdict_comes_first_and_in_words(default):
    text = Page(default[1]).text
    before_muons = text[: text.index("The first 20 muons of detector.resolution = 100 /m")]
    assert "Is the propagation right? pass Is the truth covered? pass Do the data agree" in " ".join(
        before_muons.split()
    )
    assert text.index("pass") < text.index("What was run") < text.index("Figures") < text.index("Provenance")
    shares = sorted(100 * entry.linear_valid for entry in Evidence.read(default[0].outputs.validation).points)
    assert text.index("pass The propagation is right and the truth is covered;") < text.index("What was run")
    assert "nothing here shows whether the stated resolution is right" in text
    for answer in Evidence.read(default[0].outputs.validation).answers.each.values():
        assert text.index(answer.sentence) < text.index("What was run")
    valid = f"Linear propagation is valid for {shares[0]:.3g} % to {shares[1]:.3g} % of muons"
    assert f"{valid}; for the others the quoted σ is the standard deviation" in text
    assert "No muon failed" in text


def test_that_coverage_intervals_do_not_hold_the_truth_near_a_fold_is_said(default):
    bins = [bin_ for entry in Evidence.read(default[0].outputs.validation).points for bin_ in entry.truth.bins]
    lowest = min(each.coverage.interval68.value for each in bins)
    assert lowest < 0.45
    words = f"the 68.27 % coverage interval (JCGM 101) holds the truth there for as few as {percent(lowest)} of toys"
    assert (
        f"Near the fold use the confidence intervals: {words}. It is a statement about the recorded hit, not"
        in Page(default[1]).text
    )
    assert "its length does not say how well such a muon is known" in Page(default[1]).text


def test_the_scan_table_quotes_the_averages_of_the_answer(default):
    """By the same word, and at all points."""
    text = Page(default[1]).text
    averages = re.findall(r": θ of [^:]+ muons: (mean|median) σ = (\S+ mrad)", text)
    assert len(averages) == 2
    table = text[text.index("closure, quoted σ") : text.index("Two scan points are drawn")]
    assert len({word for word, _ in averages}) == 1
    for word, average in averages:
        assert f" % {average}{' (median)' * (word == 'median')} " in table


def test_each_diagnostic_has_its_say(default, tmp_path):
    text = Page(default[1]).text
    for each in DIAGNOSTICS.values():
        for words in (each.name, each.sees, each.misses):
            assert words in text
    raw = {"study": "strips", "detector": {"noise": "strip"}, "toys": {"muons": 500}, **ENOUGH}
    text = Page(report(raw, tmp_path)[1]).text
    assert "The propagation is wrong and the truth is not covered. Do not use these uncertainties" in text
    assert "noise strip, standard deviation equal to the stated one" in text
    assert "possible causes: noise wider than stated; strips, which have too few hits in the middle" in text
    assert "possible causes: noise narrower than stated; strips or clipped noise, which have no hits far out" in text


@pytest.mark.parametrize(
    ("resolution", "scan", "words"),
    [
        ([100, 200, 400], None, "0.577, 1.15, 2.31 times the stated one, layer by layer"),
        (100, None, "0.577 times the stated one"),
        (100, {"detector.resolution": [100, 200]}, "0.577 to 1.15 times the stated one, over the points of the scan"),
    ],
)
def test_the_width_of_noise_is_said_of_every_layer_and_point(resolution, scan, words):
    noise = {"kind": "strip", "pitch": 0.02}
    raw = {"study": "s", "model": {"name": "track"}, "detector": {"resolution": resolution, "noise": noise}}
    run = dict(
        SetupWording(Study.from_config({**raw, "scan": scan}), Evidence.model_construct(points=[], fits=[])).run()
    )
    assert run["detector"].endswith(f"noise strip, standard deviation {words}")


def run_of(model):
    return dict(
        SetupWording(
            Study.from_config({"study": "s", "model": model}), Evidence.model_construct(points=[], fits=[])
        ).run()
    )


def test_positions_at_planes_are_said_to_be_off_the_path_where_layers_scatter():
    """At 0.25 m by √((0.25 m · 1 mrad)² + (0.75 m · 3 mrad)²), above all layers by nothing."""
    track = {"name": "track", "z": [1.0, 0.0, 0.5], "at": ["25 cm", 1.2], "theta0": ["3 mrad", "2 mrad", "1 mrad"]}
    text = run_of(track)["positions"]
    assert text.endswith("a muon is off that line by 2.26 mm at z = 250 mm, 0 m at z = 1.2 m (root mean square)")
    upper = {"name": "scatter", "at": -0.7, "theta0": "1 mrad", "theta0_momentum": 4}
    # z of 1, 0.8, 0.6 and -0.6 m: √(1.7² + 1.5² + 1.3² + 0.1²) mm.
    assert "a muon of 4 GeV/c is off that line by 2.62 mm at z = -700 mm" in run_of(upper)["positions"]
    material = {"name": "track3d", "at": 0, "material": 0.02}
    assert run_of(material)["positions"].endswith("how far it is off that line depends on its momentum")
    # Highland: 13.6 MeV/(βcp) √0.02 (1 + 0.038 ln(0.02/β²)) at 3 GeV/c, β = 0.99938, 0.5462 mrad; √(1² + 0.5²) m.
    assert "a muon of 3 GeV/c is off that line by 611 µm" in run_of({**material, "momentum": 3})["positions"]
    assert "positions" not in run_of({**track, "theta0": 0})
    assert "positions" not in run_of({**track, "at": []})


def test_the_page_is_whole_and_loads_nothing(default):
    page = Page(default[1])
    assert page.open == []
    pictures = [source for source in page.sources if source.startswith("data:")]
    assert len(pictures) == 16
    assert all(source.startswith("data:image/svg+xml;base64,") for source in pictures)
    files = [source for source in page.sources if not source.startswith(("#", "data:"))]
    assert files == ["study.h5", "summary.csv", "validation.csv", "validation.json", "points.csv", "config.yaml"]
    assert all((default[0].folder / name).exists() for name in files)
    (script,) = re.findall("<script>(.*?)</script>", default[1], re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in default[1]
    assert "url(" not in default[1]


def test_pdfs_are_linked_where_there_are_some(tmp_path):
    run, text = report({**SMALL, "figures": {"pdf": True}}, tmp_path, draw=True)
    linked = [source for source in Page(text).sources if source.endswith(".pdf")]
    assert sorted(linked) == sorted(f"figures/{quote(path.name)}" for path in run.printed)


def test_it_says_what_was_run_and_where_it_comes_from(default):
    run, text = default[0], Page(default[1]).text
    evidence = Evidence.read(run.outputs.validation)
    for expected in (
        "simulated, x ~ U(0, 1) m, 100 000 muons per point",
        "resolution 100 /m",
        "detector.resolution",
        "A ratio passes when its 95 % confidence interval lies within 1 ± 0.05",
        "the linear σ in bins θ/σ ≥ 3, the quoted σ in all bins",
        "100 000 toys around true hits in each bin of the true value, which is what the inference makes of the true "
        "hits: coverage of the confidence intervals must be "
        "nominal ± 1 %, bias and width of pulls right to ± 0.02",
        evidence.content_digest,
        evidence.config_digest,
        "torch version 2.13.0",
        "per_muon: 10000",
        "points must not be averaged",
    ):
        assert expected in text, expected


def test_the_table_shows_the_evidence(default):
    run, text = default[0], Page(default[1]).text
    evidence = Evidence.read(run.outputs.validation)
    for entry in evidence.points:
        for each in entry.linear.bins + entry.quoted.bins:
            assert f"{each.ratio.value:.4f}" in text
        assert f"{100 * entry.linear_valid:.3g} %" in text


def test_inconclusive_says_what_would_settle_it(tmp_path):
    _, page = report({**SMALL, "scan": None, "toys": {"muons": 60, "per_muon": 5}}, tmp_path)
    text = Page(page).text
    assert "It is not settled whether the propagation is right, whether the truth is covered or whether" in text
    assert "What would decide it: toys: {muons: 2000, per_muon: " in text


def test_failures_and_lost_muons_are_said(tmp_path, monkeypatch):
    from pullback.detector import response

    monkeypatch.setattr(response, "smear", lambda x, r, z: x + 2 * z / r)
    _, page = report({**SMALL, "scan": None}, tmp_path / "fail")
    text = Page(page).text
    assert "Do not use these uncertainties before the cause is found" in text
    assert "width of the pulls of slope over all muons is " in text
    (tmp_path / "hits.csv").write_text("x\nnan\n0\n0.5\n0.6\n")
    raw = {"study": "s", "source": {"kind": "recorded", "file": str(tmp_path / "hits.csv")}, "toys": {"per_muon": 3000}}
    _, page = report(raw, tmp_path / "lost")
    text = Page(page).text
    assert "Of 4 muons, 1 failed (hit NaN or infinite)." in text  # and not the one at the fold
    assert "Only the propagation could be tested: the truth of recorded hits is unknown" in text
    assert text.index("Only the propagation") < text.index("Is the propagation right?", text.index("Verdict:"))
    assert "pull mean" not in text


def test_recorded_hits_without_freedom_do_not_claim_that_sigma_is_right(tmp_path):
    (tmp_path / "hits.csv").write_text("x\n" + "".join(f"{0.3 + 0.002 * number}\n" for number in range(200)))
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    run, page = report({"study": "s", "source": source, "toys": {"muons": 200}}, tmp_path / "out")
    evidence, text = Evidence.read(run.outputs.validation), Page(page).text
    assert evidence.verdict == "pass"
    assert {name: str(each.verdict) for name, each in evidence.answers.each.items()} == {
        "propagation": "pass",
        "truth": "not tested: recorded hits have no truth",
        "data": "can't be tested: as many parameters as hits",
    }
    box = text[: text.index("What was run")]
    first = box[box.index("Verdict:") : box.rindex("Is the propagation right?")]
    assert "pass Only the propagation could be tested: the truth of recorded hits is unknown" in first
    assert "can't test the stated resolution (as many parameters as hits)" in first
    assert "right" not in first
    assert "The propagation is right" in box
    assert "Is the truth covered? not tested" in box
    answer = "Do the data agree with the stated resolution? can't be tested The reason: as many parameters as hits."
    assert answer in box


@pytest.mark.slow
def test_the_same_bytes_whatever_the_batches(tmp_path):
    pages = [
        report({**SMALL, "compute": {"batch_cost": cost}}, tmp_path / str(cost), draw=True)[1].encode()
        for cost in (1, 10**12)
    ]
    assert pages[0] == pages[1]


def test_toys_that_reached_the_most_are_said(tmp_path):
    raw = {**SMALL, "scan": None, "toys": {"muons": 20, "mode": "adaptive", "most": 20_000, "n_dig": 3}}
    assert "The toys of all 20 muons were not stable to 3 significant digits" in Page(report(raw, tmp_path)[1]).text


def test_a_domain_that_is_scanned_has_tables_of_its_own_bins(tmp_path):
    raw = {**SMALL, "scan": {"validation.domain": [2.5, 3.0]}}
    page = report(raw, tmp_path)[1]
    table = marked(page, "validity")
    for row in table.split("<tr")[1:]:
        cells = row.count("<td") or row.count("<th")
        assert cells in (2 + 8 + 1, 2 + 7 + 1)
    assert table.count("2 – 2.5") == table.count("2 – 3") == 1


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    raw = {
        "study": "track",
        "seed": 2,
        "model": {"name": "track", "z": [0.0, 0.5, 1.0]},
        "source": {"muons": 400},
        "detector": {"resolution": [1000.0, 500.0, 1000.0], "efficiency": 0.8},
        "systematics": {"alignment.x[1]": 0.0005, "model.z[2]": 0.002},
        "toys": {"muons": 24, "per_muon": 200, "experiments": 100},
    }
    return report(raw, tmp_path_factory.mktemp("track"))


def section(page, name):
    """The text of a section of the page."""
    return Page(marked(page, name)).text


def marked(page, name):
    """The HTML of a section of the page."""
    body = page[page.index(f'<h2 id="{name}">') :].split('<div class="body">', 1)[1]
    return body.split('<details class="section"')[0].split("</main>")[0].rsplit("</div>", 1)[0]


def test_several_observables_read_well(track):
    run, page = track
    text = Page(page).text
    assert "It is not settled whether the propagation is right for all 3 observables; worst for " in text
    assert "simulated, x ~ U(0, 1) m at z = 0, zenith angles as cos² up to 1 rad, 400 muons" in text
    assert "400 muons per point" not in text
    assert "dx/dz (slope) θ (theta) x(0) (intercept)" in text  # over the first muons
    assert "3 layers, resolution 1000, 500, 1000 /m (σ x = 1 mm, 2 mm, 1 mm); efficiency 0.8" in text
    assert "1 0.5 x₁ 2 mm 0.8" in text  # the table of layers
    assert "(too few hits); the count is that of the observable with the most" in text
    (fit,) = Evidence.read(run.outputs.validation).fits
    assert f"over all muons of a point: {fit.chi2_per_ndf:.3f}, by the covariance that is propagated" in text
    # An observable without a fold has no bins.
    slope = page[page.index("<b>nominal</b>, dx/dz") :].split("</details>")[0]
    assert "all muons" in slope
    assert "≥ 10" not in slope
    assert "linear domain</td>" not in slope


def test_the_budget_is_a_table_that_adds_up(track):
    run, page = track
    text = section(page, "budget")
    entries = Evidence.read(run.outputs.validation).points
    for name in ("layer 0", "layer 1", "layer 2", "alignment.x[1]", "model.z[2]"):
        shares = [f"{100 * entry.budget[name]:.3g} %" for entry in entries]
        row = text[text.index(name) :]
        assert [row.index(each) for each in shares] == sorted(row.index(each) for each in shares)
    (together,) = re.findall(r"together (\S+) 100 % (\S+) 100 % (\S+) 100 %", text)
    units = re.findall(r"dx/dz θ \((\w+)\) x\(0\) \((\w+)\) source", text)
    assert units == [("mrad", "mm")]
    for shown, factor, entry in zip(together, (1, 1000, 1000), entries, strict=True):
        assert float(shown) == pytest.approx(factor * entry.budget_variance**0.5, rel=0.01)


def test_systematics_are_said_in_words_and_numbers(track):
    run, page = track
    text = section(page, "systematics")
    assert "alignment.x[1] ± 500 µm, model.z[2] = 1 m ± 2 mm" in text
    assert "which shrinks as 1/√N, and a shared one, which does not shrink" in text
    for entry in Evidence.read(run.outputs.validation).points:
        shared = entry.shared
        mean, width, shift = shared.mean_uncertainty, shared.pull_width, shared.pull_shift
        factor = {"slope": 1, "theta": 1000, "intercept": 1e6}[entry.observable]  # mrad and µm
        for number in (mean.total, mean.independent, mean.shared):
            assert typeset(f"{factor * number:.3g}").replace("\xa0", " ") in text
        ratios = (shared.total.value, shared.mean.value)
        for number in (*ratios, width.value, width.expected, shift.value, shift.expected):
            assert f"{number:.4f}" in text


def test_a_shift_has_the_unit_of_its_own_coordinate(tmp_path):
    from pullback.report.source_tables import systematics_of

    (tmp_path / "m.py").write_text("def infer(hits, scale):\n    return scale * hits[:, :1] * hits[:, 1:]\n")
    model = {
        "file": str(tmp_path / "m.py"),
        "coordinates": ["x0", {"name": "t1", "unit": "ns"}],
        "observables": [{"name": "product", "unit": "m ns", "fold": "none"}],
        "parameters": {"scale": 1.0},
    }
    raw = {"study": "s", "model": model, "systematics": {"alignment.x[0]": 0.1, "alignment.t[1]": 0.2}}
    found = systematics_of(Study.from_config(raw))
    assert [(each.name, each.unit) for each in found] == [("alignment.x[0]", "m"), ("alignment.t[1]", "ns")]


def test_the_design_says_what_a_little_more_does(track, default, tmp_path):
    run, page = track
    text = section(page, "design")
    theta = Evidence.read(run.outputs.validation).points[1]
    change = theta.design["model.z[2]"] * 0.01 / theta.linear.overall.mean_sigma
    assert f"{100 * change:+.2f} %".replace("-", "−") in text
    assert "detector.resolution[1] 500 /m +1 %" in text
    # σ of one hit is one over the resolution.
    assert "1 % more resolution changes the mean σ of θ by −1.00 %" in section(default[1], "design")
    assert "budget" not in default[1].split('<h2 id="provenance">')[0]


def test_muons_that_stop_are_counted(track, tmp_path):
    run, _ = track
    content = Evidence.read(run.outputs.validation).model_dump()
    content["points"][1]["quoted"]["counts"]["no_true_value"] = 7
    Evidence(**content).write(tmp_path / "validation.json")
    write_report(run.study, tmp_path / "validation.json", run.outputs.study, run.figures, tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text()).text
    assert "They are excluded from the statistics and listed below. Among them, 7 have no true value." in text
    assert "no true value" not in Page(track[1]).text


def test_muons_without_a_standard_deviation_are_explained(track, tmp_path):
    run, _ = track
    content = Evidence.read(run.outputs.validation).model_dump()
    content["points"][2]["quoted"]["counts"]["no_standard_deviation"] = 7
    Evidence(**content).write(tmp_path / "validation.json")
    write_report(run.study, tmp_path / "validation.json", run.outputs.study, run.figures, tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text()).text
    assert "7 of 400 muons have no standard deviation (of x(0)): the tails" in text
    assert "Their intervals are valid all the same" in text


def test_recorded_tracks_have_a_report(tmp_path):
    (tmp_path / "hits.csv").write_text("x0,x1,x2\n0.1,0.2,0.3\n0.1,,0.1\n,,0.3\n-0.1,-0.2,-0.4\n")
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    raw = {"study": "s", "model": {"name": "track"}, "source": source, "toys": {"per_muon": 100}}
    text = Page(report(raw, tmp_path / "out")[1]).text
    assert "by the covariance that is propagated" in text
    assert "Is the truth covered? not tested Nobody knows the truth of recorded hits." in text
    assert "Of 4 muons, 1 failed (too few hits)" in text
    assert "The recorded hits stay where they are" in text
    assert "Density of each observable at the recorded hits. Muons outside" in text  # true ones are unknown


def test_systematics_of_muons_of_which_nothing_is_known_have_a_report(tmp_path):
    """No muon has a line, so that none has toys, and nothing is thrown together."""
    (tmp_path / "hits.csv").write_text("x0,x1,x2\n,,0.3\n0.1,,\n")
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    systematics = {"alignment.x[1]": 0.001}
    raw = {"study": "s", "model": {"name": "track"}, "source": source, "systematics": systematics}
    run, page = report({**raw, "toys": {"per_muon": 100, "experiments": 100}}, tmp_path / "out")
    assert "Of 2 muons, 2 failed (too few hits)" in Page(page).text
    for entry in Evidence.read(run.outputs.validation).points:
        assert entry.verdict == "inconclusive"
        assert "systematics: fewer than two muons are in the pseudo-experiments" in entry.reasons


@pytest.mark.parametrize(("share", "words"), [(0.99956, "99.96 %"), (1.0, "100 %"), (0.9774, "97.7 %"), (None, "–")])
def test_a_share_is_never_rounded_to_all(share, words):
    assert percent(share) == words


@pytest.mark.parametrize("unscanned", [0.0, 0.01])
def test_the_budget_of_a_scan_in_which_some_points_have_correlated_hits(tmp_path, unscanned):
    """Whether the model scatters without the scan says nothing of its points."""
    raw = {
        "study": "scattering",
        "source": {"muons": 300},
        "model": {"name": "track", "theta0": unscanned},
        "toys": {"muons": 20, "per_muon": 200},
        "scan": {"model.theta0": [0.0, 0.01]},
    }
    run = Run(raw, tmp_path).make()
    still, scattering = (Evidence.read(run.outputs.validation).points[index] for index in (0, 3))
    assert "hit correlations" in scattering.budget
    assert "hit correlations" not in still.budget
    for entry in (still, scattering):
        rows = {row.source: row.share for row in budget_of(run.study, entry)}
        together = rows.pop("together")
        assert sum(share for share in rows.values() if share is not None) == pytest.approx(together, abs=1e-9)
        assert {name: share for name, share in rows.items() if share is not None} == pytest.approx(entry.budget)


def test_without_a_fold_none_is_mentioned(tmp_path):
    (tmp_path / "m.py").write_text("def infer(hits):\n    return hits[:, :1] + hits[:, 1:]\n")
    observable = {"name": "total", "unit": "m", "fold": "none"}
    model = {"file": str(tmp_path / "m.py"), "coordinates": ["x0", "x1"], "observables": [observable]}
    wording = Wording(Study.from_config({"study": "s", "model": model}), Evidence.model_construct(points=[], fits=[]))
    assert "fold" not in wording.linear()
    assert dict(wording.run())["test"].endswith("the root mean square too: both σ for all muons")


def test_pictures_of_recorded_tracks_are_linked_beside_the_verdict(tmp_path):
    rng = np.random.default_rng(1)
    rows = "".join(f"{a!r},{b!r},{c!r}\n" for a, b, c in rng.normal(0, 0.01, (120, 3)).tolist())
    (tmp_path / "hits.csv").write_text("x0,x1,x2\n" + rows)
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv")}
    raw = {"study": "s", "source": source, "model": {"name": "track"}, "toys": {"muons": 2, "per_muon": 100}}
    run, page = report(raw, tmp_path / "out")
    start, link, end = (page.index(text) for text in ('id="verdict"', 'href="#pictures"', 'id="reproduce"'))
    assert page.index('<figure id="detector.nominal">') < page.index('id="verdict"')
    assert start < link < end
    pictures = marked(page, "pictures")
    kinds = ("hit_maps", "events", "residuals_by_layer", "chi2", "in_time", "pointing")
    for kind in kinds:
        assert f'href="#{kind}.nominal"' in pictures
        assert f'<figure id="{kind}.nominal">' in pictures
    assert page.count("<figure id=") == len(gallery(run.study))
    assert '<h2 id="pictures">Pictures of the data</h2>' in page


def test_only_models_with_lines_have_pictures_of_simulated_tracks(default, track):
    assert "#pictures" not in default[1]
    assert "pictures of the tracks" in track[1]
    pictures = marked(track[1], "pictures")
    assert re.findall('<figure id="([a-z_]*)', pictures) == ["events", "pointing"]
