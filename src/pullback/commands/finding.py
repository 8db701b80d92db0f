"""The results of a study by what a user has at hand: its folder, a file in it, its name or its config."""

from __future__ import annotations

from pathlib import Path

from ..config.text import read_config
from ..errors import PullbackError

STUDIES = Path("results")
"""Where studies are, in the folder of a run."""

FINISHED = "validation.json"
"""The file of a finished study."""


def results_of(given: str | Path | None) -> Path:
    """The folder of a finished study.

    Parameters
    ----------
    given : str, path or None
        The folder or a file in it, the study's name, or its config; None for the only study under `results/`.

    Raises
    ------
    PullbackError
        There is no finished study, or more than one is meant.

    """
    if given is None:
        return _only()
    path = Path(given)
    here = path.parent if path.is_file() else path
    if path.is_file() and path.suffix in (".yaml", ".yml", ".json") and not (here / FINISHED).is_file():
        return _finished(STUDIES / str(read_config(path).get("study", "exercise")), path)
    named = [STUDIES / path] * ("/" not in str(given).rstrip("/"))
    found = [each for each in (here, *named) if (each / FINISHED).is_file()]
    if len({each.resolve() for each in found}) > 1:
        raise PullbackError(f"{given}: {found[0]}/ and {found[1]}/ both hold a study; name ./{found[0]} or {found[1]}")
    begun = [each for each in (here, *named) if each.exists()]
    return _finished((found or begun or [here])[0], path)


def study_file_of(given: str | Path | None) -> Path:
    """`study.h5` of a study, as `results_of` finds it; a file of another kind than a config is taken as it is."""
    path = Path(given) if given is not None else None
    if path and path.is_file() and path.suffix not in (".yaml", ".yml", ".json"):
        return path
    return results_of(path) / "study.h5"


def _only() -> Path:
    found = sorted(each.parent for each in STUDIES.glob(f"*/{FINISHED}"))
    if len(found) == 1:
        return found[0]
    if found:
        raise PullbackError(f"results/ holds several studies; name one: {', '.join(each.name for each in found)}")
    raise PullbackError(f"results/: holds no finished study here; {_advice()}")


def _finished(folder: Path, given: Path) -> Path:
    if (folder / FINISHED).is_file():
        return folder
    of = f"{given}: " if folder != given else ""
    if not folder.exists():
        raise PullbackError(f"{of}there is no folder {folder}; {_advice()}")
    if folder.is_dir() and folder.parent.resolve() == STUDIES.resolve():
        raise PullbackError(f"{of}{folder}: the study is not finished; end it by pullback run with its config")
    raise PullbackError(f"{of}{folder}: holds no finished study; {_advice()}")


def _advice() -> str:
    """What there is to be named."""
    found = sorted(each.parent.name for each in STUDIES.glob(f"*/{FINISHED}"))
    return f"there are: {', '.join(found)}" if found else "begin one by pullback run with a config"
