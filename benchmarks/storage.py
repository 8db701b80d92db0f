"""Lossless and compact storage of what is quoted: bytes per muon, time to write and to read, and how far numbers move.

Command: python benchmarks/storage.py [--muons 2e6] [--rounds 5] [--folder FOLDER] [--docs]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from common import aligned, into_docs, machine, markdown, one_core

MODELS = {
    "`one_hit`": {"model": {"name": "one_hit"}, "source": {"x_min": 0.0, "x_max": 1.0}},
    "`track3d`, 4 layers": {"model": {"name": "track3d", "z": [0.0, 0.3, 0.6, 0.9]}},
}
"""Detectors, with hits of 1 cm."""

STORAGES = ("lossless", "compact")
WHERE = "storage.h5"


def quoted_block(part):
    """What is quoted of the first block of muons, and the flag, as a job has it."""
    import numpy as np

    from pullback import quote
    from pullback.detector.reconstruction import Reconstruction
    from pullback.detector.response import SimulatedBlock
    from pullback.steps.common import arrays

    reconstruction, block = Reconstruction.of(part), next(part.blocks)
    hits = SimulatedBlock.draw(part, block, "cpu").hits(part, reconstruction.parameters)
    taken = reconstruction.taken(hits)
    found = arrays(quote(reconstruction.infer, taken.hits, covariance=taken.covariance))
    return found | {"flag": np.zeros(found["value"].shape, "u1")}


def write(batch, quoted):
    """Seconds of the processor to write the columns, block by block."""
    from pullback.store import artefact
    from pullback.store.quoted_columns import of_quoted

    os.sync()
    begin = time.process_time()
    with artefact.create(WHERE, batch) as out:
        for part in batch.parts:
            table = of_quoted(out, part)
            for block in part.blocks:
                table.append({name: values[: len(block)] for name, values in quoted.items()})
    return time.process_time() - begin


def read(batch, quoted):
    """Seconds of the processor to verify the file and to read its columns, and how far ends are off at most, in σ."""
    from pullback.store import artefact
    from pullback.store.columns import QUOTED

    begin, found = time.process_time(), {}
    with artefact.read(WHERE, batch) as reader:
        for part in batch.parts:
            for block in part.blocks:
                for index, observable in enumerate(part.model.observables):
                    for field, kind in QUOTED.items():
                        found[field, index] = reader.read(part, kind.of(observable.name), block)
    return time.process_time() - begin, _moved(found, quoted)


def _moved(found, quoted):
    """Largest change of a number of the last block, in units of the muon's σ."""
    import numpy as np

    moved = []
    for (field, index), values in found.items():
        numbers = quoted[field][: len(values), index]
        sigma = quoted["sigma"][: len(values), index].reshape(-1, *[1] * (values.ndim - 1))
        moved.append(np.nanmax(np.abs(values.astype(float) - numbers) / sigma))
    return max(moved)


def measure(name, raw, muons, rounds):
    """A row of the table for each storage of a model, written and read in turn."""
    import numpy as np

    from pullback.study.plan import Study

    plans, quoted, taken = {}, None, {each: [] for each in STORAGES}
    for storage in STORAGES:
        source = {"kind": "simulated", "muons": muons, **raw.get("source", {})}
        compute = {"storage": storage, "batch_cost": 10**15}
        config = {"study": "storage", "source": source, "model": raw["model"], "compute": compute}
        plans[storage] = next(iter(Study.from_config(config).batches.values())).of_kind("sigma")
        quoted = quoted_block(plans[storage].parts[0]) if quoted is None else quoted
    for _ in range(rounds):
        for storage, batch in plans.items():
            wrote, size = write(batch, quoted), Path(WHERE).stat().st_size
            taken[storage].append((wrote, *read(batch, quoted), size))
            Path(WHERE).unlink()
    for storage, found in taken.items():
        wrote, took, moved, size = np.min(found, axis=0)
        times = (f"{each / muons * 1e9:.0f}" for each in (wrote, took))
        yield [name, storage, f"{size / muons:.0f}", *times, f"{moved:.1e}" if moved else "0"]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--muons", type=float, default=2e6, help="how many")
    parser.add_argument("--rounds", type=int, default=5, help="the best of how many rounds is taken")
    parser.add_argument("--folder", default=".", help="where files are written for a while: 400 bytes per muon")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/performance.md")
    arguments = parser.parse_args()
    one_core()
    import torch

    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        os.chdir(folder)
        for name, raw in MODELS.items():
            rows += measure(name, raw, int(arguments.muons), arguments.rounds)
        os.chdir("/")
    head = ["model", "storage", "bytes per muon", "writing, ns", "reading, ns", "largest change, σ"]
    where = machine("numpy", "h5py")
    print(f"{where}\n\n{aligned(head, rows)}")
    if arguments.docs:
        into_docs("storage", f"{where}.\n\n{markdown(head, rows)}")


if __name__ == "__main__":
    main()
