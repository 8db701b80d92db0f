"""Time and memory of reading the same hits from CSV with one row per muon and with one row per hit.

    python benchmarks/long_lists.py [HITS] [--apart]

Each way reads in a process of its own: planning (counting) and importing of all muons. With `--apart` the rows of the
long list are in no order, and are brought together in memory.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import aligned, machine, one_core

LAYERS = 5


def write(folder, hits, apart):
    """The same hits in both layouts, to 0.1 µm in mm."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv

    muons = hits // LAYERS
    rng = np.random.default_rng(1)
    x, y = np.round(rng.uniform(-50, 50, (2, muons, LAYERS)), 4)
    names = {f"{view}{layer}": values[:, layer] for view, values in (("x", x), ("y", y)) for layer in range(LAYERS)}
    pa.csv.write_csv(pa.table(names), folder / "wide.csv")
    order = rng.permutation(muons * LAYERS) if apart else slice(None)
    event, layer = np.repeat(np.arange(muons), LAYERS), np.tile(np.arange(LAYERS), muons)
    columns = {"event": event, "layer": layer, "x": x.ravel(), "y": y.ravel()}
    pa.csv.write_csv(pa.table({name: values[order] for name, values in columns.items()}), folder / "long.csv")


def read(file, layout):
    """Seconds of planning and of importing, and the peak memory in MB."""
    from pullback.config.model_schema import Track3d
    from pullback.config.source_schema import Recorded
    from pullback.hits import recorded_file
    from pullback.models import load_model
    from pullback.study.blocks import BLOCK

    columns = {"layout": "long", "event": "event", "layer": "layer", "x": "x", "y": "y"} if layout == "long" else {}
    section, model = Recorded(file=file, unit="mm", **columns), load_model(Track3d(z=[0.1 * i for i in range(LAYERS)]))
    begin = time.perf_counter()
    counts, digest = recorded_file(section, model).plan()
    planned = time.perf_counter()
    total = sum(
        block.hits.sum() for block in recorded_file(section, model, digest, counts).blocks(0, counts.muons, BLOCK)
    )
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{planned - begin:.2f} {done - planned:.2f} {peak:.0f} {counts.muons} {total:.9f}")


def main(hits, apart):
    """Write both files, read each, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        # Not here, since a process begins with the peak memory of the one that starts it.
        subprocess.run([sys.executable, __file__, "write", folder, str(hits), str(int(apart))], check=True)
        found = {}
        for layout in ("wide", "long"):
            command = [sys.executable, __file__, "read", f"{folder}/{layout}.csv", layout]
            found[layout] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert apart or found["wide"][3:] == found["long"][3:], "the hits differ"
    head = ["layout", "planning", "importing", "both", "ratio", "peak memory"]
    both = {layout: float(row[0]) + float(row[1]) for layout, row in found.items()}
    rows = [
        [
            layout,
            f"{row[0]} s",
            f"{row[1]} s",
            f"{both[layout]:.1f} s",
            f"{both[layout] / both['wide']:.2f}",
            f"{row[2]} MB",
        ]
        for layout, row in found.items()
    ]
    print(aligned(head, rows))
    print(f"{hits} hits in {LAYERS} layers{', rows in no order' * apart}; {machine('pyarrow', 'numpy')}")


if __name__ == "__main__":
    one_core()
    if sys.argv[1:2] == ["read"]:
        read(*sys.argv[2:])
    elif sys.argv[1:2] == ["write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1")
    else:
        numbers = [each for each in sys.argv[1:] if each != "--apart"]
        main(int(float(numbers[0])) if numbers else 10_000_000, "--apart" in sys.argv)
