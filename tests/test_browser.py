"""The report in a browser: nothing loaded, nothing overflows, tables sort, sections fold, hostile names are text."""

import contextlib
import csv
import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from browser import browsing, chromium
from running import FEW, PROJECT, Run

from pullback.report.figures.base import PAGE_WIDTH, SMALL
from pullback.report.page import write_report

WIDTHS = (1200, 400)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """A tab of a browser. PULLBACK_REQUIRE_CHROMIUM says that there must be one."""
    if not chromium():
        say = pytest.fail if os.environ.get("PULLBACK_REQUIRE_CHROMIUM") else pytest.skip
        say("no chromium; on Debian: apt-get install chromium")
    with browsing(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


LONG = "w" * 300
ATTACKS = (
    "<script>window.attacked = 1</script>",
    "\"'><img src=x onerror='window.attacked = 2'>",
    "</table></main><b>bold</b> {{ 7 * 7 }}",
    "\u202eשלום ﷽ مرحبا",
    "🎉\u0301\u200d🧲 & &lt; %s",
    LONG,
)
"""Names of columns and words of a user that are also HTML, JavaScript, a template, right to left, or very long."""

PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="400" height="200"><text x="9" y="20">figure</text></svg>'


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A report of hits in a file whose columns have names as above, as have the observables of its model."""
    folder = tmp_path_factory.mktemp("hostile")
    hits, model = folder / "hits <b>&amp; more.csv", folder / "model.py"
    with hits.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(ATTACKS)
        table.writerows(np.random.default_rng(1).normal(1, 0.1, (40, len(ATTACKS))).tolist())
    model.write_text("def infer(hits):\n    return hits\n")
    names = [f"x{index}" for index in range(len(ATTACKS))]
    words = list(enumerate(ATTACKS))
    raw = {
        "study": "hostile-" + "n" * 92,
        "source": {"kind": "recorded", "file": str(hits), "columns": dict(zip(names, ATTACKS, strict=True))},
        "model": {
            "file": str(model),
            "coordinates": [{"name": f"x{index}", "long_name": word, "layer": 0} for index, word in words],
            "observables": [
                {"name": f"o{index}", "unit": "m", "long_name": word, "symbol": word, "fold": "none"}
                for index, word in words
            ],
        },
        "toys": {"muons": 2, "per_muon": 100},
    }
    run = Run(raw, folder / "<i>out</i> #1").make()
    return written(run)


def written(run):
    """The report of a study with a picture in the place of every figure."""
    for path in run.figures:
        path.parent.mkdir(exist_ok=True)
        path.write_text(PICTURE)
    write_report(run.study, run.outputs.validation, run.outputs.study, run.figures, run.folder / "report.html")
    return run.folder / "report.html"


QUICK = {"toys": {"muons": 20, "per_muon": 200, "experiments": 100}, **FEW}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A report of a scan with tables of all kinds."""
    raw = {"study": "scan", "source": {"muons": 500}, **QUICK, "scan": {"detector.resolution": [50, 100, 200]}}
    return written(Run(raw, tmp_path_factory.mktemp("scan")).make())


def example(name, folder):
    """An example config with so few muons that it takes no time, and its figures."""
    raw = yaml.safe_load((PROJECT / "config" / f"{name}.yaml").read_text())
    if raw["source"]["kind"] == "simulated":
        raw = {**raw, "source": {**raw["source"], "muons": 400}, **QUICK}
    else:
        raw = {**raw, "toys": QUICK["toys"]}
    with contextlib.chdir(PROJECT):
        return Run(raw, folder).make().show().folder / "report.html"


OPEN = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"

OVERFLOWING = """[...document.querySelectorAll('body *')].filter((each) => !each.closest('.scroll *, .card *, pre *')
  && each.getBoundingClientRect().right > innerWidth + 0.5).map((each) => each.outerHTML.slice(0, 200))"""

SMALL_TEXT = """(() => {
  const small = new Set(), walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ['SCRIPT', 'STYLE'].includes(parent.tagName)) continue;
    if (parseFloat(getComputedStyle(parent).fontSize) < 14) small.add(parent.outerHTML.slice(0, 200));
  }
  return [...small];
})()"""

LINKS = "[...document.querySelectorAll('a')].map((each) => each.getAttribute('href'))"


def check(tab, page, width, *, dark):
    """What must hold of every report."""
    tab.open(page, width, dark=dark)
    assert tab.value("document.scrollingElement.scrollWidth <= innerWidth")
    tab.value(OPEN)
    assert tab.value("document.scrollingElement.scrollWidth <= innerWidth")
    assert tab.value(OVERFLOWING) == []
    assert tab.value(SMALL_TEXT) == [] or width > 600
    pictures = tab.value("[...document.images].map((each) => [each.alt.trim(), each.complete && each.naturalWidth])")
    assert pictures
    assert all(alt and loaded for alt, loaded in pictures)
    assert min(tab.value("[...document.images].map((each) => each.clientWidth)")) * SMALL / (72 * PAGE_WIDTH) >= 11
    for link in tab.value(LINKS):
        if link.startswith("#"):
            assert tab.value(f"document.getElementById(decodeURIComponent('{link[1:]}')) !== null"), link
        else:
            assert re.match(r"^[\w./%-]+$", link)
            assert tab.value(f"new URL('{link}', location).protocol") == "file:"
            assert file_of(tab, link).is_file(), link
    background = tab.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 200) == dark
    assert tab.value("getComputedStyle(document.querySelector('.card')).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.requests() == [page.resolve().as_uri()]
    assert tab.complaints() == []


def file_of(tab, link):
    return Path(tab.value(f"decodeURIComponent(new URL('{link}', location).pathname)"))


EXAMPLES = ("exercise", "config", "recorded", "recorded_root", "track", "track3d", "scatter", "own_model")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_reports_of_the_example_configs(tab, name, tmp_path):
    page = example(name, tmp_path)
    for width, dark in itertools.product(WIDTHS, (False, True)):
        check(tab, page, width, dark=dark)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_a_report_of_a_scan(tab, scan, width, dark):
    check(tab, scan, width, dark=dark)


OUT_OF_SIGHT = """[...document.querySelectorAll('td.held, th.held')].filter((each) => {
  const own = each.getBoundingClientRect(), seen = each.closest('.scroll').getBoundingClientRect();
  return own.width && (own.left < seen.left - 1 || own.right > seen.right + 1);
}).map((each) => each.outerHTML)"""


def test_verdicts_of_wide_tables_are_in_sight(tab, scan):
    tab.open(scan, 1200)
    tab.value(OPEN)
    heads = tab.value("[...document.querySelectorAll('th.held')].map((each) => each.innerText.trim().split(/\\s/)[0])")
    assert {*heads} == {"verdict"}
    assert tab.value("document.querySelectorAll('td.held').length") > len(heads) > 3
    assert tab.value(OUT_OF_SIGHT) == []


COVERED = """[...document.querySelectorAll('tbody td.held')].filter((each) => {
  const own = each.getBoundingClientRect(), before = each.previousElementSibling?.getBoundingClientRect();
  return before && own.left < before.right - 1;
}).map((each) => each.parentElement.innerText)"""


def test_on_a_phone_no_column_covers_another(tab, scan):
    tab.open(scan, 400)
    tab.value(OPEN)
    assert tab.value("document.querySelectorAll('td.held').length") > 3
    assert tab.value(COVERED) == []
    diagnostics = "document.getElementById('diagnostics').closest('details')"
    assert tab.value(f"{diagnostics}.querySelector('td.held').getBoundingClientRect().right") < 400


def test_the_diagnostics_fit_the_page(tab, scan):
    tab.open(scan, 1200)
    tab.value(OPEN)
    table = "document.getElementById('diagnostics').closest('details').querySelector('.scroll')"
    assert tab.value(f"{table}.scrollWidth <= {table}.clientWidth")


BROKEN = """(() => {
  const broken = [], whole = [], range = document.createRange();
  const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    for (const found of text.data.matchAll(/\\d\\s±\\s\\d[\\d.]*(\\s(µm|mm|mrad|rad|σ|%))?/g)) {
      range.setStart(text, found.index);
      range.setEnd(text, found.index + found[0].length);
      const lines = new Set([...range.getClientRects()].map((each) => Math.round(each.top)));
      (lines.size > 1 ? broken : whole).push(found[0]);
    }
  }
  return [broken, whole];
})()"""


@pytest.mark.parametrize("medium", ["screen", "print"])
def test_no_line_breaks_within_a_number_and_its_error(tab, scan, medium):
    tab.open(scan, 400)
    tab.value(OPEN)
    tab.ask("Emulation.setEmulatedMedia", media=medium)
    try:
        broken, whole = tab.value(BROKEN)
        assert broken == []
        assert len(whole) > 20
    finally:
        tab.ask("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_names_are_text(tab, hostile, width):
    check(tab, hostile, width, dark=False)
    assert tab.value("window.attacked === undefined")
    assert tab.value("document.scripts.length") == 1
    assert tab.value("document.querySelectorAll('main b').length > 0 && !document.body.innerHTML.includes('<b>bold')")
    text = tab.value("document.body.innerText")
    for word in ATTACKS:
        assert word in text, word
    assert tab.value("document.querySelector('h1').textContent").startswith("hostile-" + "n" * 92)


def test_no_other_script_would_run(tab, scan, tmp_path):
    """The policy of the page holds even if a name were not escaped."""
    attacked = scan.read_text().replace("<main>", "<main><script>window.attacked = 1</script><img src=x onerror=x>")
    (tmp_path / "report.html").write_text(attacked)
    tab.open(tmp_path / "report.html", 1200)
    assert tab.value("window.attacked === undefined")
    assert tab.complaints()
    assert tab.value("document.querySelector('th button') !== null")


def column(tab, table, index):
    """The texts of a column from top to bottom, of the rows that are shown."""
    script = f"[...{table}.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[{index}].textContent)"
    return tab.value(script)


FIRST = "document.querySelector('table.muons')"


def test_the_first_muons_sort_by_their_angle(tab, scan):
    tab.open(scan, 1200)
    before = column(tab, FIRST, 2)
    angles = [float(text.split("\xa0±\xa0")[0]) for text in before]
    ascending = [before[index] for index in np.argsort(angles, kind="stable")]
    head = f"{FIRST}.tHead.rows[0].cells[2]"
    assert ascending != before
    tab.value(f"{head}.querySelector('button').click()")
    assert column(tab, FIRST, 2) == ascending
    assert tab.value(f"{head}.getAttribute('aria-sort')") == "ascending"
    tab.value(f"{head}.querySelector('button').focus()")
    tab.press("Enter")
    assert [float(text.split("\xa0±\xa0")[0]) for text in column(tab, FIRST, 2)] == sorted(angles, reverse=True)
    assert tab.value(f"{head}.getAttribute('aria-sort')") == "descending"
    other = f"{FIRST}.tHead.rows[0].cells[0]"
    tab.value(f"{other}.querySelector('button').focus()")
    tab.press("Space")
    assert column(tab, FIRST, 2) == before
    assert tab.value(f"{head}.hasAttribute('aria-sort')") is False


SORTED = {
    "lengths": ["300 µm", "1.5 ± 0.2 mm", "2 mm", "0.1 m", "–", "NaN", ""],
    "marked": ["−4", "-3.5", "2\xa0×\xa010⁻³", "? 0.9", "✗ 1.2 [1.1, 1.3]", "10²", "nan"],
    "thousands": [".5", "5", "99.96 %", "100 %", "9\u202f999", "10\u202f000", "–"],
    "bins": ["< -3", "0 – 0.5", "0.5 – 1", "1 – 2", "5 – 10", "≥ 10", "all muons"],
    "words": ["2nd", "Layer 1", "layer 9", "layer 10", "together", "x=12", "–"],
}
"""Cells of a column in ascending order; what is no number, or missing, stays last in either direction."""

UNKNOWN = {"–", "NaN", "nan", "", "all muons"}


def crafted(tab, folder, columns):
    """Open a page with a table of such columns, by their heads, and the script of the report."""
    script = (PROJECT / "src/pullback/report/templates/report.js.j2").read_text()
    rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) for row in zip(*columns.values(), strict=True))
    heads = "".join(f"<th>{name}</th>" for name in columns)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    nav = "<nav class=contents><details></details></nav>"
    page = f"<!DOCTYPE html><meta charset=utf-8><main><div>{table}</div></main>{nav}<script>{script}</script>"
    (folder / "table.html").write_text(page, encoding="utf-8")
    tab.open(folder / "table.html", 1200)
    assert tab.complaints() == []


TABLE = "document.querySelector('table')"


@pytest.mark.parametrize("name", SORTED)
def test_columns_sort_as_people_read_them(tab, tmp_path, name):
    crafted(tab, tmp_path, {head: cells[::2] + cells[1::2] for head, cells in SORTED.items()})
    index, known = list(SORTED).index(name), [text for text in SORTED[name] if text not in UNKNOWN]
    for order in (known, known[::-1]):
        tab.value(f"{TABLE}.tHead.rows[0].cells[{index}].querySelector('button').click()")
        found = column(tab, TABLE, index)
        assert found[: len(known)] == order
        assert {*found[len(known) :]} == {*SORTED[name]} - {*known}


def test_long_tables_can_be_filtered(tab, tmp_path):
    numbers = [str(number) for number in range(60)]
    crafted(tab, tmp_path, {"muon": numbers, "flag": ["", "Hit missing", "σ NaN"] * 20})
    field = "document.querySelector('.filter input')"
    write = f"(text) => {{ {field}.value = text; {field}.dispatchEvent(new Event('input')); }}"
    for text, kept in {
        "hit": numbers[1::3],
        "  MISSING 5 ": ["25", "52", "55", "58"],
        "no such muon": [],
        "<": [],
        "": numbers,
    }.items():
        tab.value(f"({write})('{text}')")
        assert column(tab, TABLE, 0) == kept
        assert tab.value("document.querySelector('.filter output').textContent") == f"{len(kept)} of 60 rows"
    crafted(tab, tmp_path, {"muon": numbers[:20]})
    assert tab.value("document.querySelector('.filter') === null")


def test_sections_fold_and_links_open_them(tab, scan):
    tab.open(scan, 1200)
    assert tab.value("document.querySelectorAll('details.section').length") > 8
    assert not tab.value("document.getElementById('truth').closest('details').open")
    tab.value("document.getElementById('truth').closest('summary').click()")
    assert tab.value("document.getElementById('truth').closest('details').open")
    tab.value("document.getElementById('truth').closest('summary').click()")
    for link in tab.value("[...document.querySelectorAll('.contents a')].map((each) => each.hash)"):
        tab.value(f"document.querySelector('.contents a[href=\"{link}\"]').click()")
        tab.value("new Promise((done) => setTimeout(done, 50))")
        place = f"document.getElementById('{link[1:]}')"
        assert tab.value(f"!{place}.closest('details') || {place}.closest('details').open"), link
        top = tab.value(f"{place}.getBoundingClientRect().top")
        assert top > 120 or tab.value("document.querySelector('[aria-current]').hash") == link
        at_end = tab.value("innerHeight + scrollY >= document.scrollingElement.scrollHeight - 1")
        assert -1 <= top <= 40 or (at_end and top < 900), link
    assert tab.value("document.querySelectorAll('[aria-current]').length") == 1
    figure = tab.value("document.querySelector('details:not(.section) figure').id")
    tab.open(scan, 1200, hash=f"#{figure}")
    assert tab.value(f"document.getElementById('{figure}').closest('details').open")


def test_contents_are_beside_the_page_or_folded_above_it(tab, scan):
    place = "document.querySelector('.contents').getBoundingClientRect()"
    tab.open(scan, 1200)
    assert tab.value("document.querySelector('.contents details').open")
    assert tab.value(f"{place}.right <= document.querySelector('main').getBoundingClientRect().left")
    tab.value("scrollTo(0, 3000)")
    assert 0 <= tab.value(f"{place}.top") < 100
    tab.open(scan, 400)
    assert not tab.value("document.querySelector('.contents details').open")
    assert tab.value(f"{place}.bottom <= document.querySelector('main').getBoundingClientRect().top")


def test_without_script_all_is_there(tab, scan):
    tab.open(scan, 1200, script=False)
    assert tab.value("document.querySelectorAll('button, input').length") == 0
    assert tab.value("document.querySelector('table.muons').tBodies[0].rows.length") == 20
    tab.value("document.getElementById('truth').closest('summary').click()")
    assert tab.value("document.getElementById('truth').closest('details').open")
    assert tab.complaints() == []


HIDDEN = """[...document.querySelectorAll('main table, main figure, main p')]
  .filter((each) => !each.checkVisibility()).map((each) => each.outerHTML.slice(0, 200))"""


CUT = """[...document.querySelectorAll('main %s')]
  .filter((each) => each.getBoundingClientRect().right > %d + 0.5).map((each) => each.outerHTML.slice(0, 200))"""

PAPER = {":not(.wide *)": 688, ".wide *": 1016}
"""Widths of A4 with its margins, in pixels: upright, and on its side for what is in wide tables."""


@pytest.mark.parametrize("script", [True, False])
def test_on_paper_nothing_is_folded_or_cut(tab, scan, script):
    tab.open(scan, 1200, script=script)
    shown = "[...document.querySelectorAll('main details')].map((each) => each.open)"
    before = tab.value(shown)
    assert not all(before)
    assert tab.value(HIDDEN)
    assert tab.printed().startswith(b"%PDF")
    assert tab.value(shown) == before
    tab.ask("Emulation.setEmulatedMedia", media="print")
    try:
        assert tab.value(HIDDEN) == []
        assert tab.value("getComputedStyle(document.querySelector('.contents')).display") == "none"
        for which, width in PAPER.items():
            size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
            tab.ask("Emulation.setDeviceMetricsOverride", **size)
            assert tab.value(CUT % (which, width)) == []
    finally:
        tab.ask("Emulation.setEmulatedMedia", media="")
