"""The tutorial, executed: its page, its figures and the notebook itself."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import jupytext
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from traitlets.config import Config

TUTORIAL = "docs/tutorial.py"
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
    page, made = MarkdownExporter().from_notebook_node(notebook, {"unique_key": "tutorial"})
    files = {"tutorial.md": page, "tutorial.ipynb": jupytext.writes(notebook, "ipynb"), **made["outputs"], **studies}
    return {f"docs/{name}": content for name, content in files.items()}


def _shown(folder: Path) -> Iterator[Path]:
    """The files of its studies that a report leads to, without those of HDF5, which are large."""
    for study in folder.glob("*/results/*"):
        yield from (path for path in (*study.glob("*.*"), *study.glob("figures/*")) if path.suffix != ".h5")
