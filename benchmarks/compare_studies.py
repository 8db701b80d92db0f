"""Whether two results folders hold the same numbers: every column of study.h5, bit for bit, and every verdict.

Command: python benchmarks/compare_studies.py results/one results/other [--renamed old=new …]
The second folder may be of a later version, in which columns have other names: `--renamed linear_valid=linear_valid`.
"""

import argparse
import json
import sys
from pathlib import Path

import h5py
import numpy as np


def columns(folder):
    """The columns of a study by their path in study.h5."""
    found = {}
    with h5py.File(folder / "study.h5") as file:
        file.visititems(
            lambda name, each: (
                found.update({name: each[()]}) if isinstance(each, h5py.Dataset) and not each.is_scale else None
            )
        )
    return found


def verdicts(folder):
    """The verdict on each observable at each point, and on the study."""
    evidence = json.loads((folder / "validation.json").read_text(encoding="utf-8"))
    of_points = {(each["point"], each["observable"]): each["verdict"] for each in evidence["points"]}
    return {**of_points, "study": evidence["verdict"]}


def main():
    """Print what differs; exit with 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--renamed", nargs="*", default=[], help="parts of names that have changed, old=new")
    arguments = parser.parse_args()
    renamed = [each.split("=") for each in arguments.renamed]

    def new(name):
        for before, after in renamed:
            name = name.replace(before, after)
        return name

    one = {new(name): values for name, values in columns(arguments.one).items()}
    other = columns(arguments.other)
    wrong = [f"{name}: only in one of them" for name in sorted(one.keys() ^ other.keys())]
    for name in sorted(one.keys() & other.keys()):
        if one[name].dtype != other[name].dtype or one[name].tobytes() != other[name].tobytes():
            far = (
                np.nanmax(np.abs(one[name].astype("f8") - other[name])) if one[name].shape == other[name].shape else ""
            )
            wrong.append(f"{name}: differs {far}")
    if verdicts(arguments.one) != verdicts(arguments.other):
        wrong.append("verdicts differ")
    print(f"{len(other)} columns; " + ("; ".join(wrong) or "all the same, and the verdicts too"))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
