"""Studies of recorded tracks that tests draw."""

import numpy as np
from running import Run

from pullback.report.figures import base, plot
from pullback.report.gallery import gallery
from pullback.store.study_file import open_study
from pullback.validation.evidence import Evidence

MUONS = 1200
Z = [1.0, 0.0, 0.4, 0.9]  # in no order
SIGMA_X, SIGMA_Y = 2e-3, 5e-4


def tracks(rng):
    """Hits (muon, coordinate) of 1200 lines in two views; those of layer 2 are missing from number 900 on."""
    start, slope = rng.uniform(-0.1, 0.1, (2, MUONS)), rng.normal(0, 0.05, (2, MUONS))
    views = [s[:, None] + t[:, None] * Z for s, t in zip(start, slope, strict=True)]
    noise = [rng.normal(0, sigma, (MUONS, len(Z))) for sigma in (SIGMA_X, SIGMA_Y)]
    hits = np.concatenate([view + off for view, off in zip(views, noise, strict=True)], axis=1)
    hits[rng.random(MUONS) < 0.1, 0] = np.nan
    hits[rng.random(MUONS) < 0.1, 5] = np.nan
    hits[900:, [2, 6]] = np.nan
    hits[:, 3] += np.where(np.arange(MUONS) < 600, 0.0, 2 * SIGMA_X)  # the layer moves
    return hits


def recorded_study(folder, hits, model, detector, **more):
    """A study of hits that a test writes."""
    names = [f"{view}{layer}" for view in "xy" for layer in range(len(Z))][: hits.shape[1]]
    rows = [",".join("" if np.isnan(each) else repr(float(each)) for each in row) for row in hits]
    folder.mkdir(exist_ok=True)
    (folder / "hits.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
    source = {"kind": "recorded", "file": str(folder / "hits.csv"), **more}
    raw = {"study": "s", "source": source, "model": model, "detector": detector, "toys": {"muons": 4, "per_muon": 100}}
    return Run(raw, folder / "out").make()


def draw(run, kind, before=None):
    """The panels of a figure of the nominal point, and its legends."""
    evidence = Evidence.read(run.outputs.validation)
    (figure,) = (each for each in gallery(run.study) if each.kind == kind and each.subject == "nominal")
    with open_study(run.outputs.study) as reader, base.plt.rc_context(base.STYLE):
        subject = base.Subject(run.study, reader, evidence, figure, before or {})
        canvas = plot.OF_SUBJECT[kind](subject)
        canvas.draw_without_rendering()
        base.plt.close(canvas)
    return canvas


def bars(axes):
    """Counts and edges of the histograms of a panel."""
    return [(patch.get_data().values, patch.get_data().edges) for patch in axes.patches]
