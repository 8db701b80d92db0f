"""Time and memory of reading the same hits from CSV files with one row per muon and with one row per hit.

    python benchmarks/long_lists.py [HITS] [--docs] [--peek [FILE …]]

Each file is read in a process of its own: it is planned (hashed and counted), and all its muons are imported. With
`--peek` only the time of `pullback peek` is taken, which reads the first rows alone, of these files and of others.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import aligned, into_docs, machine, markdown, one_core

LAYERS = 5
FILES = {"wide": "one row per muon", "long": "one row per hit", "apart": "the same, in no order"}


def write(folder, hits):
    """The same hits in all files, to 0.1 µm in mm."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv

    muons = hits // LAYERS
    rng = np.random.default_rng(1)
    x, y = np.round(rng.uniform(-50, 50, (2, muons, LAYERS)), 4)
    names = {f"{view}{layer}": values[:, layer] for view, values in (("x", x), ("y", y)) for layer in range(LAYERS)}
    pa.csv.write_csv(pa.table(names), folder / "wide.csv")
    event, layer = np.repeat(np.arange(muons), LAYERS), np.tile(np.arange(LAYERS), muons)
    columns = {"event": event, "layer": layer, "x": x.ravel(), "y": y.ravel()}
    for name, order in (("long", slice(None)), ("apart", rng.permutation(muons * LAYERS))):
        table = pa.table({column: values[order] for column, values in columns.items()})
        pa.csv.write_csv(table, folder / f"{name}.csv")


def read(file):
    """Seconds of planning and of importing, the peak memory in MB, and the number of muons and a sum over hits."""
    from pullback.config.model_schema import Track3d
    from pullback.config.source_schema import Recorded
    from pullback.hits import recorded_file
    from pullback.models import load_model
    from pullback.study.blocks import BLOCK

    columns = {"layout": "long", "event": "event", "layer": "layer", "x": "x", "y": "y"}
    section = Recorded(file=file, unit="mm", **({} if file.endswith("wide.csv") else columns))
    model = load_model(Track3d(z=[0.1 * layer for layer in range(LAYERS)]))
    begin = time.perf_counter()
    counts, digest, reading = recorded_file(section, model).plan()
    planned = time.perf_counter()
    blocks = recorded_file(section, model, digest, counts, reading).blocks(0, counts.muons, BLOCK)
    total = sum(block.hits.sum() for block in blocks)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{planned - begin:.2f} {done - planned:.2f} {peak:.0f} {counts.muons} {total:.6f}")


def peek_time(file):
    """The shortest CPU time of three looks into a file, s, and the size of the page."""
    from pullback.hits.peek import peek
    from pullback.report.peek_page import peek_page

    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        page = peek_page(peek(file))
        best = min(best, time.process_time() - begin)
    print(f"{best:.3f} {len(page)}")


def called(*arguments):
    """The words that this script prints in a process of its own.

    Files are not written in this process, since a process begins with the peak memory of the one that starts it.
    """
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def peeks(hits, files, docs):
    """The table of the times of `pullback peek`, for the list of hits, a hundredth of it, and other files."""
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name, number in (("part", hits // 100), ("whole", hits)):
            Path(folder, name).mkdir()
            called("write", f"{folder}/{name}", number)
            file = f"{folder}/{name}/long.csv"
            rows.append([f"CSV with {number:,} rows".replace(",", " "), *peek_row(file)])
        rows += [[Path(file).name, *peek_row(file)] for file in files]
    head = ["file", "size", "CPU time of `pullback peek`"]
    print(aligned(head, rows))
    if docs:
        into_docs("peek", f"{markdown(head, rows)}\n")


def peek_row(file):
    """The size of a file, and the time of a look into it."""
    return [f"{Path(file).stat().st_size / 1e6:.1f} MB", f"{float(called('time', file)[0]):.2f} s"]


def main(hits, docs):
    """Write the files, read each, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        called("write", folder, hits)
        found = {name: called("read", f"{folder}/{name}.csv") for name in FILES}
    if len({tuple(words[3:]) for words in found.values()}) > 1:
        sys.exit(f"the hits differ: {found}")
    head = ["CSV file", "planning", "importing", "both, relative", "peak memory"]
    both = {name: float(words[0]) + float(words[1]) for name, words in found.items()}
    rows = [
        [FILES[name], f"{float(plan):.1f} s", f"{float(work):.1f} s", f"{both[name] / both['wide']:.1f}", f"{peak} MB"]
        for name, (plan, work, peak, *_) in found.items()
    ]
    where = f"{hits:,} hits in {LAYERS} layers. ".replace(",", " ") + machine("pyarrow", "numpy")
    print(aligned(head, rows), where, sep="\n")
    if docs:
        into_docs("lists", f"{where}.\n\n{markdown(head, rows)}\n")


if __name__ == "__main__":
    one_core()
    if sys.argv[1:2] == ["write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["read"]:
        read(sys.argv[2])
    elif sys.argv[1:2] == ["time"]:
        peek_time(sys.argv[2])
    else:
        plain = [each for each in sys.argv[1:] if not each.startswith("--")]
        others = [each for each in plain if Path(each).exists()]
        numbers = [int(float(each)) for each in plain if each not in others]
        number, docs = numbers[0] if numbers else 10_000_000, "--docs" in sys.argv
        if "--peek" in sys.argv:
            peeks(number, others, docs)
        else:
            main(number, docs)
