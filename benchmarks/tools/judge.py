"""What the comparisons of coming_from.py share: processes, toys, and what is said of σ and intervals in bins."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np

TOOLS = Path(__file__).parent


class Ways:
    """Runs functions of benchmarks/tools/, and remembers the time of each and the versions of their libraries."""

    def __init__(self, tomography):
        self.tomography, self.versions = tomography, {}

    def missing(self, *libraries):
        """Why libraries can't be used, or nothing."""
        if {"tomopt", "muograph"} & set(libraries):
            return self._missing_there(libraries) if self.tomography else "needs --tomography PYTHON, see --help"
        return "".join(f"no module {each!r}: see --help" for each in libraries if not find_spec(each))

    def _missing_there(self, libraries):
        """Why libraries can't be used in the environment of their own, or nothing."""
        if not shutil.which(self.tomography):
            return f"--tomography {self.tomography}: no such program"
        command = [self.tomography, "-c", f"import {', '.join(libraries)}"]
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
        return f"{self.tomography}: {tried.stderr.splitlines()[-1]}" if tried.returncode else ""

    def run(self, file, function, *distributions, **given):
        """What a function returns, and its CPU time per muon, s."""
        python = self.tomography if {"tomopt", "muograph"} & set(distributions) else sys.executable
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with tempfile.TemporaryDirectory() as folder:
            into, out = (f"{folder}/{name}.npz" for name in ("in", "out"))
            np.savez(into, **given)
            command = [python, str(TOOLS / "worker.py"), str(TOOLS / f"{file}.py"), function, into, out, *distributions]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **threads})
            if done.returncode:
                sys.exit(f"{function} of {file}.py failed:\n{done.stdout[-1000:]}{done.stderr}")
            found = dict(np.load(out))
        said = json.loads(done.stdout.splitlines()[-1])
        self.versions |= said["versions"]
        first = next(iter(given.values()))
        return found, said["seconds"] / len(first)


def code_of(file, function):
    """The source of a function, for a page."""
    text = (TOOLS / f"{file}.py").read_text(encoding="utf-8")
    found = next(each for each in ast.parse(text).body if getattr(each, "name", "") == function)
    return f"```python\n{ast.get_source_segment(text, found)}\n```"


def in_bins(values, edges, number=None):
    """For each bin the places of the values in it, or the first so many."""
    places = np.digitize(values, edges) - 1
    return [np.flatnonzero(places == i)[:number] for i in range(len(edges) - 1)]


def bin_names(edges, unit, scale=1.0):
    """Bins as text."""
    names = [f"{scale * low:g} to {scale * high:g}" for low, high in pairwise(edges)]
    return [f"{name} {unit}" for name in names]


def thrown_around(hits, sigma, toys, seed=3):
    """Toys around hits (muon, coordinate), as (muon · toy, coordinate)."""
    rng = np.random.default_rng(seed)
    return (hits[:, None] + sigma * rng.normal(size=(len(hits), toys, hits.shape[1]))).reshape(-1, hits.shape[1])


def spread(values, muons):
    """The standard deviation of the toys of each muon."""
    return np.nanstd(values.reshape(muons, -1), axis=1, ddof=1)


def half_width(values, muons):
    """Half the length of the central 68.27 % of the toys of each muon."""
    low, high = np.nanquantile(values.reshape(muons, -1), [0.15865, 0.84135], axis=1)
    return (high - low) / 2


def ratio(quoted, toys, of_bins):
    """Median of quoted to toys in each bin, with the central 68 % of the muons."""
    found = [np.nanquantile((quoted / toys)[bin_], [0.16, 0.5, 0.84]) for bin_ in of_bins]
    return [f"{middle:.2f} ({low:.2f}–{high:.2f})" for low, middle, high in found]


def holds(true, low, high, of_bins):
    """How often intervals hold the truth in each bin, in per cent."""
    held = (low <= true) & (true <= high)
    return [f"{100 * held[bin_].mean():.0f} %" for bin_ in of_bins]


def within(found, name, true, of_bins):
    """How often the value ± σ holds the truth."""
    return holds(true, found[name] - found[f"{name}_sigma"], found[name] + found[f"{name}_sigma"], of_bins)


def confident(found, name, true, of_bins):
    """How often pullback's confidence interval holds the truth."""
    return holds(true, *found[f"{name}_confidence"].T, of_bins)


def pull_width(found, name, true, of_bins):
    """Standard deviation of (value − true)/σ in each bin."""
    pulls = (found[name] - true) / found[f"{name}_sigma"]
    return [f"{pulls[bin_].std():.2f}" for bin_ in of_bins]


def table(head, *columns):
    """A table of columns of text."""
    return head, [list(row) for row in zip(*columns, strict=True)]


def microseconds(seconds):
    """CPU time of a muon, to two digits."""
    value = 1e6 * seconds
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
