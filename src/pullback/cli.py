"""The command `pullback`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .commands.beginning import BEGINNINGS
from .errors import PullbackError, in_lines
from .version import version

TABLE_WIDTH = 400
"""Columns of a table that is not printed on a terminal, so that no cell is wrapped."""


AT_HAND = "its folder, its name, or its config, such as results/exercise; default: the only study in results/"
"""How `show` and `export` find a study."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; an error is one line on stderr, with exit status 1."""
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        options_of_snakemake = options.run is _run
        hint = f"; for Snakemake: pullback run {options.config} -- {' '.join(unknown)}" if options_of_snakemake else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    try:
        options.run(options)
        sys.stdout.flush()
    except PullbackError as error:
        sys.exit(in_lines(error))
    except BrokenPipeError:  # who reads the output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        resumes = "; the same command resumes where it stopped" if options.run is _run else ""
        sys.exit(f"pullback: interrupted{resumes}")


def _export(options: argparse.Namespace) -> None:
    from .commands.finding import study_file_of
    from .commands.listing import listing
    from .store.export import export

    study = study_file_of(options.study)
    if options.list:
        for line in listing(study, options.point, options.table):
            print(line)
        return
    done = export(
        study,
        options.format,
        point=options.point,
        table=options.table,
        columns=options.columns,
        units=options.units,
        digits=options.digits,
        output=options.output,
        force=options.force,
    )
    short = not options.columns and options.table == "muons"
    more = "; --columns all writes all columns, and --list names them" if short else ""
    rows, columns = "s" * (done.rows != 1), "s" * (done.columns != 1)
    print(f"{done.path}: {done.rows} row{rows}, {done.columns} column{columns}{more}")


def _peek(options: argparse.Namespace) -> None:
    from .hits.peek import peek
    from .report.peek_page import has_config, peek_page

    page = peek_page(peek(options.file, options.table))
    print(page, end="", flush=True)
    if not has_config(page):
        raise PullbackError(f"{options.file}: no config is written; the description says why")


def _init(options: argparse.Namespace) -> None:
    from .commands.beginning import begin

    config, *others = begin(options.kind, options.folder)
    print(f"{config}: written" + "".join(f", with {each}" for each in others))
    print(f"Next: pullback check {config}, then pullback run {config}")


def _keys(options: argparse.Namespace) -> None:
    from .config.reference import keys_in_words

    print(keys_in_words(options.pattern))


def _check(options: argparse.Namespace) -> None:
    from .commands.outlook import outlook
    from .config.text import read_config

    raw = read_config(options.config)
    with _placed(options.config):
        print(outlook(raw))


@contextmanager
def _placed(config: str) -> Iterator[None]:
    """Messages about a config name its file and line."""
    from .config.places import at_places

    try:
        yield
    except PullbackError as error:
        raise at_places(error, [config]) from None


def _run(options: argparse.Namespace) -> None:
    from .commands.running import run

    ran = run(options.config, options.snakemake)
    if ran.results:
        _print_results(ran.results)
    sys.exit(ran.status)


def _show(options: argparse.Namespace) -> None:
    from .commands.finding import results_of

    _print_results(results_of(options.results))


def _print_results(folder: str | Path) -> None:
    from rich.console import Console

    from .commands.showing import show

    width = None if sys.stdout.isatty() else TABLE_WIDTH
    show(folder, Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=width))


def _calibrate(options: argparse.Namespace) -> None:
    from .config.text import read_config
    from .validation.calibration import calibrate, calibration_in_words, write_alignment

    if options.output and not options.force and os.path.lexists(options.output):
        raise PullbackError(
            f"{options.output}: already exists; name another file with --output, or overwrite it with --force"
        )
    if options.output and not (folder := Path(options.output).parent).is_dir():
        raise PullbackError(f"{options.output}: there is no folder {folder}; make it, or name another with --output")
    raw = read_config(options.config)
    with _placed(options.config):
        found = calibrate(raw)
    if options.output:
        write_alignment(found, options.output)
    print(calibration_in_words(found, options.output))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("pullback", description="Begin, run and show studies, and read files of hits.")
    parser.add_argument("--version", action="version", version=f"pullback {version()}")
    parser.set_defaults(run=lambda options: parser.print_help())
    commands = parser.add_subparsers(metavar="command")

    init = commands.add_parser(
        "init",
        help="a config to begin with",
        description="Write a short config with comments, and the files that it needs: "
        + "; ".join(f"{kind}: {each.about}" for kind, each in BEGINNINGS.items())
        + ".",
    )
    init.set_defaults(run=_init)
    init.add_argument(
        "kind", nargs="?", default="exercise", metavar="kind", help=f"{', '.join(BEGINNINGS)}; default: exercise"
    )
    init.add_argument("--folder", default=".", help="where it is written; default: here")

    keys = commands.add_parser(
        "keys",
        help="keys of a config, with units and defaults",
        description="Print the keys of a config with their units, defaults, limits and meanings.",
    )
    keys.set_defaults(run=_keys)
    keys.add_argument("pattern", nargs="?", default="", help="part of their names, such as detector or sigma")

    check = commands.add_parser(
        "check",
        help="what a study will do, or what is wrong with its config",
        description="Say what a study will do, in units, and about how much time and space it takes; or what is wrong. "
        "The functions are tried on a few muons, and a file of hits up to 50 MB is read.",
    )
    check.set_defaults(run=_check)
    check.add_argument("config", help="config of the study")

    run = commands.add_parser(
        "run",
        help="run a study in this folder",
        usage="pullback run CONFIG [-- OPTIONS OF SNAKEMAKE]",
        description="Run a study in this folder, on all cores, and print its answer and verdict. Options after -- are "
        "passed on to Snakemake, such as --cores 4 or --dry-run.",
    )
    run.set_defaults(run=_run)
    run.add_argument("config", help="config of the study")
    run.add_argument("snakemake", nargs="*", default=[], metavar="option", help="option of Snakemake, after --")

    show = commands.add_parser(
        "show", help="answer and verdict of a study", description="Print the answer of a study, its verdict and points."
    )
    show.set_defaults(run=_show)
    show.add_argument("results", nargs="?", help=AT_HAND)

    export = commands.add_parser(
        "export",
        help="a study as one flat table",
        description="Write a point of a study, or all of them, as one flat table.",
    )
    export.set_defaults(run=_export)
    export.add_argument("study", nargs="?", help=AT_HAND)
    export.add_argument(
        "--format",
        default="",
        choices=("parquet", "root", "csv"),
        help="kind of the table's file; default: by the end of --output",
    )
    export.add_argument(
        "--point",
        metavar="POINT",
        help="the point, by some of its scanned values (model.dz=1.5, detector.sigma=50um), its label or its number in "
        "--list; all: all points in one table, with the scanned values as first columns; needed if there are several",
    )
    export.add_argument(
        "--table", default="muons", choices=("muons", "toys"), help="one row per muon (default), or per muon with toys"
    )
    export.add_argument(
        "--columns",
        metavar="A,B,…",
        type=lambda text: [name.strip() for name in text.split(",")],
        default=[],
        help="these, in this order, with or without their unit (theta, theta_mrad); x_reco stands for x_reco_x0 and so "
        "on, and `all` for all; default: muon, point if there are several, kept columns and hits, and of each "
        "observable its value, σ, 68 %% confidence interval, flag and whether linear propagation is valid; of toys all",
    )
    export.add_argument(
        "--list",
        action="store_true",
        help="print name, SI unit and description of all columns, the bits of flags and the points; write nothing",
    )
    export.add_argument(
        "--units",
        default="suited",
        choices=("suited", "si"),
        help="lengths and angles in mm, µm, mrad, as suits their size, with the unit in the column's name (default), "
        "or SI, as in study.h5, with names that do not depend on the numbers",
    )
    export.add_argument(
        "--digits",
        type=int,
        default=0,
        metavar="N",
        help="round values in CSV to the decimal place of the N-th significant digit of their σ, such as 5.10 for "
        "σ = 0.12 and N = 2; default: all digits",
    )
    export.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="the file; default: <point>.<format> beside the study, whose folder takes no other name",
    )
    export.add_argument("--force", action="store_true", help="write over a file that is there")

    peek = commands.add_parser(
        "peek",
        help="what a file of hits holds, and a config to start from",
        description="Print what a file of hits holds, as comments, and a config to start from: `pullback peek FILE > "
        "my.yaml`. Only its metadata and first rows are read.",
    )
    peek.set_defaults(run=_peek)
    peek.add_argument("file", help="CSV (also .csv.gz and .csv.zst), Parquet, HDF5 or ROOT file")
    peek.add_argument(
        "--table",
        "--tree",
        dest="table",
        default="",
        metavar="NAME",
        help="table of an HDF5 file, or tree of a ROOT file",
    )

    calibrate = commands.add_parser(
        "calibrate",
        help="alignment and resolution of a detector, from its tracks",
        description="Align the layers of a study and find the resolution of its hits, in turn, until both settle; "
        "print both with their errors, and a config to use.",
    )
    calibrate.set_defaults(run=_calibrate)
    calibrate.add_argument("config", help="config of the study, as for Snakemake's --configfile")
    calibrate.add_argument("-o", "--output", metavar="PATH", help="write the alignment, such as alignment.json")
    calibrate.add_argument("--force", action="store_true", help="write over a file that is there")
    return parser
