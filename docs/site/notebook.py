"""The tutorial, executed: its page, its figures and the notebook itself."""

import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jupytext
from nbclient import NotebookClient
from traitlets.config import Config

TUTORIAL = "docs/tutorial.py"
COLOUR = re.compile(r"\x1b\[[\d;]*m")
SECONDS = 300
"""Within which a cell must end."""


def executed(root: Path) -> dict[str, str | bytes]:
    """The files of the tutorial by their paths, after it has run; an error in a cell ends the build."""
    notebook = jupytext.read(root / TUTORIAL)
    with TemporaryDirectory() as folder:
        # By files, and not by ports that others can reach.
        sockets = Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})
        where = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=where, config=sockets).execute()
        studies = {path.relative_to(folder).as_posix(): path.read_bytes() for path in _shown(Path(folder))}
    page, figures = _page(notebook.cells)
    files = {"tutorial.md": page, "tutorial.ipynb": jupytext.writes(notebook, "ipynb"), **figures, **studies}
    return {f"docs/{name}": content for name, content in files.items()}


def _page(cells: list[Any]) -> tuple[str, dict[str, bytes]]:
    """The cells and what they print as Markdown, and the figures that they draw."""
    parts, figures = ["---\nhide: [navigation]\n---"], {}
    for cell in cells:
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
        outputs = cell.get("outputs", ())
        printed = "".join(each.get("text") or each.data.get("text/plain", "") for each in outputs if not _picture(each))
        if printed.strip():
            parts.append(f"``` {{ .text .printed }}\n{COLOUR.sub('', printed).rstrip()}\n```")
        for picture in filter(None, map(_picture, outputs)):
            name = f"tutorial_{len(figures) + 1}.png"
            figures[name] = b64decode(picture)
            parts.append(f"![Figure of the cell above]({name})")
    return "\n\n".join(parts) + "\n", figures


def _picture(output: Any) -> str:
    """The picture of an output of a cell, in base 64; empty where it is none."""
    return output.get("data", {}).get("image/png", "")


def _shown(folder: Path) -> Iterator[Path]:
    """The files of its studies that a report leads to, without those of HDF5, which are large."""
    for study in folder.glob("*/results/*"):
        yield from (path for path in (*study.glob("*.*"), *study.glob("figures/*")) if path.suffix != ".h5")
