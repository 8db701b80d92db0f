"""Cost of a muon through all steps, in toys, and of a toy, compared with drawing its deviate alone.

The first is the weight by which batches are cut. A second table adds up what a toy of one point cannot do without.
Times are CPU times.

With `--models`, the cost of a muon of each built-in model per coordinate, in toys of one hit, and that of a
pseudo-experiment, with a shift of one layer, and of one number of the model.

Command: python benchmarks/costs.py [--docs | --models]
"""

import argparse
import tempfile
import time
from functools import partial
from itertools import accumulate, pairwise

from common import PROJECT, aligned, as_a_job, into_docs, machine, markdown

as_a_job()

import numpy as np  # noqa: E402
import stages  # noqa: E402
import torch  # noqa: E402

from pullback import infer_theta, random_stream  # noqa: E402
from pullback.config.text import read_config  # noqa: E402
from pullback.statistics.quantiles import sort_tails  # noqa: E402
from pullback.study.plan import Study  # noqa: E402
from pullback.study.shared_parameters import OfCoordinate, OfParameter, targets  # noqa: E402
from pullback.study.work import TOY_SECONDS  # noqa: E402
from pullback.uncertainty.toys import ToySetup, _around_ends, throw_toys  # noqa: E402

torch.set_num_threads(1)

MUONS, TOYS = 120, 10_000
"""Muons, and toys around each, of the parts of a toy."""

DZ = torch.tensor(1.5, dtype=torch.float64)


CONFIGS = {
    "one_hit": (None, 200_000),
    "track": ("track", 20_000),
    "track3d": ("track3d", 5000),
    "scatter": ("scatter", 500),
}
"""Configs of the built-in models, without what is not of a muon, and muons enough for hundreds of ms."""


def of_model(name):
    """CPU seconds per muon and coordinate, of all steps without toys: the slope between two numbers of muons."""
    config, muons = CONFIGS[name]
    raw = read_config(PROJECT / "config" / f"{config}.yaml") if config else {"study": "costs"}
    raw = {key: value for key, value in raw.items() if key not in ("target", "scan", "systematics")}
    seconds = []
    for count in (muons, 3 * muons):
        more = {"source": {**raw.get("source", {}), "muons": count}, "toys": {"muons": 1, "per_muon": 2}}
        study = Study.from_config({**raw, **more, "compute": {"batch_cost": 10**15}})
        seconds.append(min(_without_toys(study) for _ in range(2)))
    return (seconds[1] - seconds[0]) / (2 * muons * len(study.model.coordinates))


def _without_toys(study):
    with tempfile.TemporaryDirectory() as folder:
        files = stages.files_of(study, folder)
        taken = {kind: cpu(partial(stages.step, kind, study, files)) for kind in stages.STEPS if kind not in THROWN}
    return sum(taken.values())


EXPERIMENTS = 200, 1200
"""Numbers of pseudo-experiments that are compared."""


def of_experiment(name, kind):
    """CPU seconds per pseudo-experiment and coordinate with a shift of this kind: the slope between two numbers."""
    config, _ = CONFIGS[name]
    raw = read_config(PROJECT / "config" / f"{config}.yaml") if config else {"study": "costs"}
    raw = {key: value for key, value in raw.items() if key not in ("target", "scan", "systematics")}
    raw["source"] = {**raw.get("source", {}), "muons": 2000}
    known = targets(Study.from_config(raw).model)
    shifted = next(dotted for dotted, each in known.items() if isinstance(each, kind))
    seconds = []
    for count in EXPERIMENTS:
        toys = {"per_muon": 2, "experiments": count}
        study = Study.from_config({**raw, "toys": toys, "systematics": {shifted: 1e-4}})
        seconds.append(min(_of_toys(study) for _ in range(2)))
    return (seconds[1] - seconds[0]) / ((EXPERIMENTS[1] - EXPERIMENTS[0]) * len(study.model.coordinates))


def _of_toys(study):
    with tempfile.TemporaryDirectory() as folder:
        files = stages.files_of(study, folder)
        for kind in BEFORE_TOYS:
            stages.step(kind, study, files)
        return cpu(partial(stages.step, "toys", study, files))


def of_models():
    """Print the costs of each built-in model."""
    of_experiment("one_hit", OfParameter)  # which imports what the first study needs
    rows = []
    for name in CONFIGS:
        seconds = of_model(name), of_experiment(name, OfCoordinate), of_experiment(name, OfParameter)
        rows.append([name, *(f"{each / TOY_SECONDS:.0f}" for each in seconds)])
    head = "toys per coordinate", "a muon", "an experiment: a layer shifts", "a number of the model shifts"
    print(machine("torch", "numpy"), aligned(head, rows), sep="\n\n")


BEFORE_TOYS = ("truth", "reco")
THROWN = ("toys", "coverage", "tally")
"""Steps that throw toys, or need theirs."""


def of_steps(muons, toy_muons, per_muon, points):
    """Seconds of the batch's steps without toys, and of toys around recorded hits, for a scan of so many points."""
    scan = {"model.dz": [1.0 + index / 10 for index in range(points)]}
    study = Study.from_config(
        {
            "study": "costs",
            "source": {"muons": muons},
            "toys": {"muons": toy_muons, "per_muon": per_muon},
            "scan": scan,
            "compute": {"batch_cost": 10**15},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        files = stages.files_of(study, folder)
        taken = {kind: cpu(partial(stages.step, kind, study, files)) for kind in stages.STEPS}
    toys, _ = taken.pop("toys"), taken.pop("coverage")  # toys around true hits are as many whatever the muons
    return sum(taken.values()), toys


def cpu(work):
    """Seconds of CPU of a call."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def parts(z, observable, powers):
    """CPU seconds of what toys of one point can't do without, part by part, in memory that stays in the cache."""
    rng, plain, times = random_stream(1, "toys"), z.numpy(), [time.process_time()]
    rng.standard_normal(out=plain)
    times.append(time.process_time())
    sort_tails(plain, _around_ends(TOYS))
    times.append(time.process_time())
    torch.arctan2(z, DZ, out=observable)
    times.append(time.process_time())
    observable.sum(dim=1)
    torch.mul(observable, observable, out=powers).sum(dim=1)
    torch.mul(powers, observable, out=z).sum(dim=1)
    powers.square_().sum(dim=1)
    times.append(time.process_time())
    return [after - before for before, after in pairwise(times)]


def thrown(points):
    """CPU seconds of the library's toys, for a number of points together."""
    hits = torch.linspace(0.1, 1, MUONS, dtype=torch.float64)[:, None]
    throws = [ToySetup(partial(infer_theta, dz=DZ + index / 10), hits, 0.01) for index in range(points)]
    rngs = [random_stream(1, "toys", muon) for muon in range(MUONS)]
    return cpu(lambda: throw_toys(throws, TOYS, rngs)) / points


def limit(rounds=20):
    """Rows of the table of what a toy needs, added up, and of what the library does, in turn; the best of each."""
    few, found = torch.empty(3, 6, TOYS, dtype=torch.float64), []
    for _ in range(rounds):
        alone = np.sum([parts(*few) for _ in range(MUONS // 6)], axis=0)
        found.append([*alone, *(thrown(points) for points in (1, 9))])
    *alone, one, nine = np.min(found, axis=0) / (MUONS * TOYS) * 1e9
    names = "a deviate by SFC64", "+ sorted tails, for the interval ends", "+ `arctan2`", "+ sums of four powers"
    library = ("`throw_toys`, one point", one), ("`throw_toys`, 9 points that share deviates", nine)
    for name, taken in [*zip(names, accumulate(alone), strict=True), *library]:
        yield [name, f"{taken:.1f}", f"{alone[0] / taken:.0%}"]


def main():
    """Print the time of a muon and of a toy, alone and in a scan, and what they are in each other and in deviates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--models", action="store_true", help="print the cost of each built-in model instead")
    arguments = parser.parse_args()
    docs = arguments.docs
    if arguments.models:
        of_models()
        return
    of_steps(1000, 10, 10, 1)
    muons, rows = 4_000_000, []
    per_muon = min(of_steps(muons, 1, 2, 1)[0] for _ in range(3)) / muons
    for points in (1, 9):
        toy = min(of_steps(2000, 2000, 10_000, points)[1] for _ in range(3)) / (2000 * 10_000 * points)
        rows.append([str(points), f"{per_muon * 1e9:.0f}", f"{toy * 1e9:.1f}", f"{per_muon / toy:.0f}"])
    tables = (
        (["points thrown together", "ns per muon", "ns per toy", "muon / toy"], rows),
        (["what is done for a toy", "ns per toy", "rate / rate of SFC64's deviates"], list(limit())),
    )
    where = machine("torch", "numpy")
    print("\n\n".join([where, *(aligned(*table) for table in tables)]))
    if docs:
        into_docs("costs", "\n\n".join([f"{where}.", *(markdown(*table) for table in tables)]))


if __name__ == "__main__":
    main()
