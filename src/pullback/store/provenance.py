"""Provenance of a result: source of the package, versions of the libraries, and instruction set of the CPU."""

import functools
import hashlib
import platform
import sys
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np

from ..version import version

LIBRARIES = ("h5py", "matplotlib", "numpy", "pyarrow", "scipy", "torch")
"""Libraries whose version can change a number or a figure."""


LAYERS = (
    "report",
    "validation",
    "steps",
    "store",
    "detector",
    "study",
    "config",
    "hits",
    "models",
    "uncertainty",
    "statistics",
    "files",
    "errors",
    "version",
)
"""Layers of the package from the top down. Each imports only from itself and the layers below."""


BESIDE = (
    *("config/hints.py", "config/reference.py", "config/text.py"),
    *("store/export.py", "store/export_digits.py", "store/export_fields.py", "store/export_files.py"),
    *("store/export_order.py", "store/export_points.py"),
)
"""Modules that no artefact is made by: advice on mistakes, the documentation of the config, and exports."""


BY_NUMPY = ("truth", "reco", "tally", "study")
"""Kinds of artefacts that are made without torch, which the process may have loaded all the same."""


@functools.cache
def code_digest(layer: str = LAYERS[0]) -> str:
    """SHA-256 of the source files of a layer and of all layers below it, by relative path and content.

    A result does not depend on the layers above its own, nor on `BESIDE`: a new caption in `report` changes no muon.
    """
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        ours = name.with_suffix("").parts[0] in LAYERS[LAYERS.index(layer) :] and name.as_posix() not in BESIDE
        if path.suffix in {".py", ".j2", ".npz"} and ours:
            digest.update(f"{name.as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """Versions of pullback and of the libraries that its numbers depend on."""
    ours = {"python": platform.python_version(), "pullback": version()}
    return ours | {name: installed(name) for name in LIBRARIES}


def vector_instructions(kind: str = "") -> dict[str, str]:
    """The widest vector instructions used by numpy on this CPU, and by torch if it is loaded and the kind needs it.

    The last bits of a result depend on them (docs/reproducibility.md).
    """
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    used = {"numpy": [*simd["baseline"], *simd["found"]][-1]}
    if kind not in BY_NUMPY and (torch := sys.modules.get("torch")):
        used["torch"] = torch.backends.cpu.get_cpu_capability()
    return used
