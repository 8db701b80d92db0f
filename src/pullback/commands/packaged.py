"""Where the workflow is: beside the package in a clone, within it where it is installed."""

from pathlib import Path

PACKED_IN = Path(__file__).parents[1]


def workflow_folder() -> Path:
    """The folder with the `Snakefile`, `config/` and `examples/`."""
    packaged, clone = PACKED_IN / "workflow", PACKED_IN.parents[1]
    return packaged if (packaged / "Snakefile").is_file() else clone
