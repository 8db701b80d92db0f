"""Which figures a study has, and what the docs say of them."""

import re
from pathlib import Path

from pullback.report.gallery import gallery
from pullback.study.plan import Study

ROOT = Path(__file__).parents[2]
README = (ROOT / "results/README.md").read_text(encoding="utf-8").split("\n## Figures\n")[1].split("\n## ")[0]


def test_the_table_of_figures_has_every_kind():
    rows = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in README.splitlines() if line.startswith("| `")]
    captions = {path.stem for path in (ROOT / "workflow/report").glob("*.rst")}
    assert sorted(kind for row in rows for kind in row) == sorted(
        captions - {"report", "summary", "validation", "workflow"}
    )


def test_the_figures_of_the_worst_point_are_those_that_the_docs_name():
    model = {"name": "track", "z": [0, 1, 2]}
    study = Study.from_config({"study": "s", "model": model, "scan": {"detector.resolution": [100, 1000]}})
    (said,) = re.findall(r"the worst point has only ([^.]*)\.", " ".join(README.split()))
    assert [figure.kind for figure in gallery(study) if figure.subject == "worst"] == re.findall(r"`(\w+)`", said)
