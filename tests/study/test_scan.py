import os
import time
from pathlib import Path

import pytest
from configs import load

from pullback.config.dotted_names import numeric_fields
from pullback.errors import PullbackError
from pullback.study.plan import Study
from pullback.study.scan import expand, nearest_to_unscanned, number


def points(scan, **more):
    return expand(load({"study": "s", "scan": scan, **more}))


def test_without_a_scan_there_is_the_nominal_point():
    (point,) = expand(load({"study": "s"}))
    assert (point.label, point.values) == ("nominal", {})


def test_product_with_the_last_name_fastest():
    scanned = points({"detector.resolution": [50, 100], "model.dz": [1.0, 1.5]})
    assert [point.label for point in scanned] == [
        "detector.resolution=50,model.dz=1",
        "detector.resolution=50,model.dz=1.5",
        "detector.resolution=100,model.dz=1",
        "detector.resolution=100,model.dz=1.5",
    ]
    assert scanned[1].config.detector.resolution == 50.0
    assert scanned[1].config.model.dz == 1.5


def test_zip_goes_in_step():
    scanned = points({"zip": {"detector.resolution": [50, 100], "model.dz": [1.0, 1.5]}})
    assert [tuple(point.values.values()) for point in scanned] == [(50, 1.0), (100, 1.5)]


ROWS = {"model.dz": [1.0, 1.5, 2.0], "detector.resolution": [50, 100, 70]}


@pytest.mark.parametrize(
    ("scan", "names", "expected"),
    [
        (
            {"zip": ROWS, "seed": [7, 8]},
            [*ROWS, "seed"],
            [(1.0, 50, 7), (1.0, 50, 8), (1.5, 100, 7), (1.5, 100, 8), (2.0, 70, 7), (2.0, 70, 8)],
        ),
        (
            {"seed": [7, 8], "zip": ROWS},
            ["seed", *ROWS],
            [(7, 1.0, 50), (7, 1.5, 100), (7, 2.0, 70), (8, 1.0, 50), (8, 1.5, 100), (8, 2.0, 70)],
        ),
        (
            {"seed": [7, 8], "zip": {"model.dz": ["100 cm"]}, "toys.muons": [5, 6]},
            ["seed", "model.dz", "toys.muons"],
            [(7, 1.0, 5), (7, 1.0, 6), (8, 1.0, 5), (8, 1.0, 6)],
        ),
    ],
)
def test_a_zip_beside_lists_is_their_product_with_the_last_fastest(scan, names, expected):
    scanned = points(scan)
    assert [list(point.values) for point in scanned] == [names] * len(scanned)
    assert [tuple(point.values.values()) for point in scanned] == expected
    assert [point.config.model.dz for point in scanned] == [row[names.index("model.dz")] for row in expected]


def test_a_table_beside_a_list_is_their_product():
    Path("points.csv").write_text("model.dz;detector.resolution\n1;50\n2;100\n")
    assert [tuple(point.values.values()) for point in points({"table": "points.csv", "seed": [7, 8]})] == [
        (1, 50, 7),
        (1, 50, 8),
        (2, 100, 7),
        (2, 100, 8),
    ]


def test_the_points_of_a_zip_beside_lists_are_counted_before_they_are_made():
    start = time.process_time()
    with pytest.raises(PullbackError, match=r"^config: scan: has 1000000000 points, and a study at most 100000; "):
        points({"zip": {"seed": [*range(10_000)], "model.dz": [1.0] * 10_000}, "toys.muons": [*range(1, 100_001)]})
    assert time.process_time() - start < 2


def test_equal_points_of_a_zip_beside_a_list_are_duplicates():
    with pytest.raises(PullbackError, match=r"^config: scan: point seed=1,model.dz=2,toys.muons=5 is a duplicate"):
        points({"zip": {"seed": [1, 1], "model.dz": [2, 2.0]}, "toys.muons": [5]})


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_cells_of_a_table_may_have_units(between):
    rows = ["model.dz|detector.resolution|seed", "50 cm|20 /mm|7", " 1 m |  100|8"]
    Path("points.csv").write_text("\n" + "\n".join(rows).replace("|", between) + "\n")
    assert [tuple(point.values.values()) for point in points({"table": "points.csv"})] == [(0.5, 2e4, 7), (1, 100, 8)]


def test_table_has_a_row_a_point():
    Path("points.csv").write_text("\ufeffdetector.resolution, source.muons\n50,1e3\r\n\n100,2000\n", encoding="utf-8")
    scanned = points({"table": "points.csv"})
    assert [point.config.source.muons for point in scanned] == [1000, 2000]
    assert scanned[0].label == "detector.resolution=50,source.muons=1000"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has no points"),
        ("model.dz\n", "has no points"),
        ("model.dz\n1\nx\n", "row 2, column model.dz: 'x' is not a number"),
        ("model.dz\n1,2\n", "row 1 has 2 cells"),
        ("model.dz,model.dz\n1,2\n", "has a duplicate column"),
        ("model.d\n1\n", "scan: model.d: no numeric field of that name; did you mean model.dz?"),
        ("model.d\n1 mm\n", "scan: model.d: no numeric field of that name; did you mean model.dz?"),
        ("model.dz (mm)\n1\n", "scan: model.dz (mm): no numeric field of that name; did you mean model.dz?"),
        ("model.dz\n1\n1 kg\n", "row 2, column model.dz: is '1 kg', and kg is no unit that is known here"),
        ("model.dz\n1\n1 GeV\n", "row 2, column model.dz: is '1 GeV', a momentum; it must be a length"),
        ("seed\n1 mm\n", "row 1, column seed: is '1 mm', a length; it has no unit: write the number alone"),
        ('model.dz\n"[1, 2] mm"\n', "row 1, column model.dz: '[1, 2] mm' is not a number"),
        ("model.dz;seed;\n1;2;\n", "points.csv: column 3 has no name; the header reads model.dz, seed, "),
        ("model.dz\ninf\n", "inf is not a finite number"),
        ("model.dz\n1\n1.0\n", "point model.dz=1 is a duplicate"),
    ],
)
def test_mistakes_in_a_table(text, expected):
    Path("points.csv").write_text(text)
    with pytest.raises(PullbackError, match="config: scan") as caught:
        points({"table": "points.csv"})
    assert expected in str(caught.value)


def test_a_list_is_advised_by_its_name_and_no_index_by_accident():
    """The nearest text to model.dz is model.z[2], since 2 is as good as any index."""
    raw = {"study": "s", "model": {"name": "track", "z": [0.0, 0.1, 0.2]}, "scan": {"model.dz": [1, 2]}}
    with pytest.raises(PullbackError, match=r"did you mean a number of model\.z, such as model\.z\[0\]\?$"):
        Study.from_config(raw)
    raw["scan"] = {"model.zz[1]": [0.1, 0.15]}
    with pytest.raises(PullbackError, match=r"did you mean model\.z\[1\]\?$"):
        Study.from_config(raw)


def test_a_table_that_is_not_text():
    Path("points.csv").write_bytes(b"model.dz\n\xff\xfe\n")
    with pytest.raises(PullbackError, match="not UTF-8"):
        points({"table": "points.csv"})


@pytest.mark.parametrize("name", sorted(set(numeric_fields(load({"study": "s"}))) - {"compute.batch_cost"}))
def test_every_numeric_field_can_be_scanned(name):
    base = numeric_fields(load({"study": "s"}))[name]
    more = {"detector.efficiency": -0.01}.get(name, 0.01)  # no more than 1
    values = [base, base + 1] if isinstance(base, int) else [base, base + more]
    scanned = points({name: values})
    assert [numeric_fields(point.config)[name] for point in scanned] == values


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (1.5, "1.5"), (0.1, "0.1"), (1e20, "1e+20"), (-2, "-2"), (2**53 - 1, "9007199254740991")],
)
def test_numbers_in_labels_are_exact(value, text):
    assert number(value) == text
    assert float(text) == value


@pytest.mark.parametrize(("value", "told"), [("1e5", True), (True, False)])
def test_a_number_that_yaml_takes_for_text_is_told_and_no_other(value, told):
    with pytest.raises(PullbackError, match="is not a finite number") as caught:
        points({"model.dz": [1.0, value]})
    assert ("(YAML takes it for text; write 1e5 as 100000)" in str(caught.value)) == told


def test_nearest_to_the_unscanned_config():
    config = load({"study": "s", "scan": {"detector.resolution": [50, 90, 200], "model.dz": [1.0, 1.4, 2.0]}})
    assert nearest_to_unscanned(expand(config), config).label == "detector.resolution=90,model.dz=1.4"


TRACK = {"model": {"name": "track"}, "detector": {"resolution": [50, 100, 200]}}


@pytest.mark.parametrize("name", ["model.z[1]", "detector.resolution[2]", "model.theta0", "source.cosmic.zenith_max"])
def test_a_number_in_a_list_or_a_section_can_be_scanned(name):
    base = numeric_fields(load({"study": "s", **TRACK}))
    found = points({name: [0.25, 0.5]}, **TRACK)
    assert [point.label for point in found] == [f"{name}=0.25", f"{name}=0.5"]
    for point, value in zip(found, (0.25, 0.5), strict=True):
        assert numeric_fields(point.config) == {**base, name: value}


def test_the_scan_is_no_number_to_be_scanned():
    with pytest.raises(PullbackError, match=r"scan\.model\.dz\[0\]: no numeric field of that name"):
        points({"scan.model.dz[0]": [1.0], "model.dz": [2.0]})


@pytest.mark.parametrize(
    ("model", "scan", "expected"),
    [
        (
            {"name": "track", "z": [0.0, 1.0]},
            {"model.z[1]": [0.5, 0]},
            "point model.z[1]=0: model.z: all layers are",
        ),
        ({"name": "scatter"}, {"model.z_upper[0]": [0.6, -0.8]}, "model.z_upper: -0.8 m is below the volume's top"),
        (
            {"name": "scatter"},
            {"model.z_lower[0]": [-0.6, 0]},
            "model.z_lower: 0 m is above the volume's bottom",
        ),
        (
            {"name": "scatter"},
            {"source.volume.thickness": [0.1, 2]},
            "thickness=2: model.z_upper: 0.6 m is below",
        ),
        (
            {"name": "scatter", "z_upper": [0.0, 1.0]},
            None,
            "config: model.z_upper: 0 m is below the volume's top",
        ),
    ],
)
def test_a_detector_that_cannot_be_is_refused_before_any_job(model, scan, expected):
    raw = {"study": "s", "model": model} | ({"scan": scan} if scan else {})
    with pytest.raises(PullbackError) as caught:
        Study.from_config(raw)
    assert expected in str(caught.value)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_any_ends_of_lines(ends, last):
    text = ends.join(["model.dz,seed", "1.5,3", "", '"2",4']) + ends * last
    Path("scan.csv").write_bytes(text.encode())
    assert [point.values for point in points({"table": "scan.csv"})] == [
        {"model.dz": 1.5, "seed": 3},
        {"model.dz": 2, "seed": 4},
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model.dz\n1\n" + "9" * 140_000 + "\n2\n", "line 3: a cell is longer than 131072 characters"),
        (
            'model.dz,seed\n1,1\n2,"2\n' + "3,3\n" * 50_000,
            "line 3: a cell is longer than 131072 characters; is a quote",
        ),
        ('model.dz,seed\n1,1\n\n2,"2\n3,3\n4,4\n', 'line 4: a quote (") is opened and never closed'),
        ('model.dz,seed\n1,1\n2,"2\n3,"3\n4,4\n', 'line 3: a quote (") in the middle of a cell'),
        ('model.dz,seed\n1,1\n2,"2\n3,3"\n4,4\n', "row 2, column seed: '2\\n3,3' is not a number"),
        ('model.dz,"seed\n1,1\n', 'line 1: a quote (") is opened and never closed'),
        ("model.dz\r1\r2x\r3\r", "row 2, column model.dz: is '2x', and x is no unit that is known here"),
        ("model.dz\n1\n2\0\n3\n", "row 2, column model.dz: is '2\\x00', and '\\x00' is no unit that is known here"),
        ("model\0.dz\n1\n", "no numeric field of that name"),
        ("model.dz\n1_0\n", "'1_0' is not a number"),
        ("model.dz\n" + "1" * 5000 + "\n", "model.dz: inf is not a finite number"),
    ],
)
def test_faults_in_a_table_are_told_in_one_line_with_their_place(text, expected):
    Path("scan.csv").write_bytes(text.encode())
    with pytest.raises(PullbackError) as caught:
        points({"table": "scan.csv"})
    message = str(caught.value)
    assert expected in message
    assert message.startswith(("config: scan.table: scan.csv: ", "config: scan: "))
    assert message.isprintable()
    assert len(message) < 400


def test_the_line_that_is_not_utf8_is_told():
    Path("scan.csv").write_bytes(b"model.dz\n" + b"1\n" * 20_000 + b"2\xb5\n" + b"3\n" * 20_000)
    with pytest.raises(PullbackError, match=r"config: scan.table: scan.csv: line 20002 is not UTF-8 text$"):
        points({"table": "scan.csv"})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".", ".: is a folder, not a file"),
        ("pipe", "pipe: is a pipe, socket or device"),
        ("/dev/null", "/dev/null: is a pipe, socket or device"),
        ("link", "link: is a pipe, socket or device"),
        ("a\0b", "holds the character U+0000"),
        ("a" * 4000, "can't be read: File name too long"),
        ("", ": no such file"),
        ("gone.csv", "gone.csv: no such file"),
        (["scan.csv"], "is ['scan.csv']; it must be the path of a CSV file"),
        (None, "is empty; it must be the path of a CSV file"),
    ],
)
def test_a_table_must_be_a_file(path, expected):
    os.mkfifo("pipe")
    os.symlink("pipe", "link")
    with pytest.raises(PullbackError) as caught:
        points({"table": path})
    message = str(caught.value)
    assert message.startswith("config: scan.table: ")
    assert expected in message
    assert message.isprintable()
    assert len(message) < 500
