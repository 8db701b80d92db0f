"""The same job by pullback and by a tool that its users may come from: σ against toys, coverage, time per muon.

Each way is a function of benchmarks/tools/, run in a process of its own on one thread; the pages docs/coming_from/ show
these functions and what this script measured. TomOpt and muograph need old versions of torch and numpy, so they get an
environment of their own, and --tomography is its Python:

    python -m venv ../tomography
    ../tomography/bin/pip install tomopt==0.1.0 muograph==0.1.22 mypy_extensions psutil

All others: pip install -c constraints.txt -e . --group peers. What is not installed is left out, and so is its page.
All pages take two minutes of CPU time.

Command: python benchmarks/coming_from.py [--docs] [--tomography ../tomography/bin/python]
"""

import argparse
from functools import cache
from itertools import pairwise

import numpy as np
from common import DZ, PROJECT, SIGMA_X, aligned, into_docs, machine, markdown
from tools.judge import (
    Ways,
    bin_names,
    code_of,
    confident,
    half_width,
    holds,
    in_bins,
    microseconds,
    pull_width,
    ratio,
    spread,
    table,
    thrown_around,
    within,
)

PAGES = PROJECT / "docs" / "coming_from"
THROWN = 40
"""Muons of each bin around which toys are thrown."""
NONE = "–"


# Two trackers and the scattering between them.

HEIGHTS = np.array([1.2, 1.1, 1.0, 0.2, 0.1, 0.0])
RESOLUTION = 0.001
ANGLES = np.array([0.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0]) / 1000
"""True and recorded scattering angles, rad, whose linear σ is 8 to 10 mrad."""


@cache
def scattered(per_bin=500):
    """True hits, recorded hits, true angles and true points of muons scattered at one point each."""
    rng = np.random.default_rng(5)
    angle = np.concatenate([rng.uniform(*ends, per_bin) for ends in pairwise(ANGLES)])
    before = np.column_stack([rng.uniform(-0.4, 0.4, (len(angle), 2)), np.ones(len(angle))])
    before /= np.linalg.norm(before, axis=1, keepdims=True)
    aside = np.cross(before, rng.normal(size=before.shape))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    after = np.cos(angle)[:, None] * before + np.sin(angle)[:, None] * aside
    point = np.column_stack([rng.uniform(-0.5, 0.5, (len(angle), 2)), rng.uniform(0.4, 0.8, len(angle))])
    slopes = np.where(HEIGHTS > 0.6, *(each[:, :2, None] / each[:, 2:, None] for each in (before, after)))
    true = (point[:, :2, None] + slopes * (HEIGHTS - point[:, 2:, None])).reshape(len(angle), -1)
    return true, true + RESOLUTION * rng.normal(size=true.shape), angle, point


@cache
def of_two_trackers(ways):
    """What pullback quotes for the scattered muons, and around which of them toys are thrown."""
    hits = scattered()[1]
    ours, _ = ways.run("scattering", "by_pullback", hits=hits, z=HEIGHTS, sigma=RESOLUTION)
    return ours, np.concatenate(in_bins(ours["theta"], ANGLES, THROWN))


def tomopt(ways, toys=500):
    """TomOpt's σ of the scattering angle and of the point of closest approach."""
    _, hits, true, point = scattered()
    ours, chosen = of_two_trackers(ways)
    case = {"z": HEIGHTS, "sigma": RESOLUTION}
    theirs, _ = ways.run("scattering", "by_tomopt", "tomopt", hits=hits, **case, spread=2, batch=50)
    thrown = thrown_around(hits[chosen], RESOLUTION, toys)
    by_them, _ = ways.run("scattering", "by_tomopt", "tomopt", hits=thrown, **case, spread=0, batch=5000)
    by_us, _ = ways.run("scattering", "by_propagate", hits=thrown, **case)
    recorded, truly, names = (
        in_bins(ours["theta"][chosen], ANGLES),
        in_bins(true, ANGLES),
        bin_names(ANGLES, "mrad", 1000),
    )
    number = len(chosen)

    def widths(name):
        half = np.diff(ours[f"{name}_68"][chosen], axis=1)[:, 0] / 2
        return (
            ratio(theirs[f"{name}_sigma"][chosen], half_width(by_them[name], number), recorded),
            ratio(half, half_width(by_us[name], number), recorded),
        )

    angle = table(
        ["θ_msc of the hits", "TomOpt, `theta_msc_unc`", "pullback, `sigma`"],
        names,
        ratio(theirs["theta_sigma"][chosen], spread(by_them["theta"], number), recorded),
        ratio(ours["theta_sigma"][chosen], spread(by_us["theta"], number), recorded),
    )
    place = table(
        ["θ_msc of the hits", "x: TomOpt", "x: pullback", "z: TomOpt", "z: pullback", "toys' half-width of z"],
        names,
        *widths("x"),
        *widths("z"),
        [f"{1000 * np.median(half_width(by_them['z'], number)[bin_]):.0f} mm" for bin_ in recorded],
    )
    covered = table(
        ["true θ_msc", "θ: TomOpt, ± σ", "its pulls' width", "θ: pullback, interval", "z: TomOpt, ± σ", "z: pullback"],
        names,
        within(theirs, "theta", true, truly),
        pull_width(theirs, "theta", true, truly),
        confident(ours, "theta", true, truly),
        within(theirs, "z", point[:, 2], truly),
        confident(ours, "z", point[:, 2], truly),
    )
    few = np.random.default_rng(1).permutation(hits)[:400]
    batches = [
        ways.run("scattering", "by_tomopt", "tomopt", hits=few, **case, spread=2, batch=n)[1] for n in (10, 50, 200)
    ]
    own = [ways.run("scattering", name, hits=few, **case)[1] for name in ("by_propagate", "by_pullback")]
    times = table(
        ["θ_msc and PoCA with σ of 400 muons", "CPU time per muon, µs"],
        [
            *(f"TomOpt, batches of {n} muons" for n in (10, 50, 200)),
            "pullback, `propagate`: linear, as TomOpt",
            "pullback, `quote`: σ and three intervals of eight observables",
        ],
        [microseconds(each) for each in [*batches, *own]],
    )
    yield "Quoted σ of θ_msc, divided by the standard deviation of toys around the hits:", angle
    yield "Half the quoted 68 % interval of the point of closest approach, divided by that of the toys:", place
    yield "How often the quoted 68 % interval holds the truth, of muons with true angles in a bin:", covered
    yield "Time:", times


def muograph(ways, toys=500):
    """The values of muograph, and its angular resolution as if it were a σ."""
    true_hits, hits, *_ = scattered()
    ours, chosen = of_two_trackers(ways)
    case = {"z": HEIGHTS, "sigma": RESOLUTION}
    theirs, _ = ways.run("scattering", "by_muograph", "muograph", hits=hits, **case, true=true_hits)
    thrown, around = thrown_around(hits[chosen], RESOLUTION, toys), np.repeat(true_hits[chosen], toys, axis=0)
    by_them, _ = ways.run("scattering", "by_muograph", "muograph", hits=thrown, **case, true=around)
    by_us, _ = ways.run("scattering", "by_propagate", hits=thrown, **case)
    names, number, few = bin_names(ANGLES, "mrad", 1000), len(chosen), slice(0, 400)
    _, time = ways.run("scattering", "by_muograph", "muograph", hits=hits[few], **case, true=true_hits[few])
    _, own = ways.run("scattering", "by_pullback", hits=hits[few], **case)
    both = float(np.hypot(theirs["above"], theirs["below"]))
    recorded, of_thrown = in_bins(ours["theta"], ANGLES), in_bins(ours["theta"][chosen], ANGLES)
    off, far = 1000 * np.abs(theirs["theta"] - ours["theta"]), 1000 * np.abs(theirs["z"] - ours["z"])
    ends = hits.reshape(-1, 2, 6)
    turned = ((ends[..., 0] - ends[..., 2]) * (ends[..., 3] - ends[..., 5]) < 0).any(axis=1)
    difference = table(
        [
            "θ_msc of the hits",
            "median, θ",
            "largest, θ",
            "a slope changes sign",
            "median of these",
            "largest of others",
            "median, z of PoCA",
        ],
        names,
        [f"{np.median(off[bin_]):.3f} mrad" for bin_ in recorded],
        [f"{off[bin_].max():.1f} mrad" for bin_ in recorded],
        [f"{100 * turned[bin_].mean():.0f} % of muons" for bin_ in recorded],
        [f"{np.median(off[bin_][turned[bin_]]):.2f} mrad" for bin_ in recorded],
        [f"{off[bin_][~turned[bin_]].max():.2f} mrad" for bin_ in recorded],
        [f"{np.nanmedian(far[bin_]):.2f} mm" for bin_ in recorded],
    )
    sigmas = table(
        ["θ_msc of the hits", "muograph, one resolution for all", "pullback, `sigma`"],
        names,
        ratio(np.full(number, both), spread(by_them["theta"], number), of_thrown),
        ratio(ours["theta_sigma"][chosen], spread(by_us["theta"], number), of_thrown),
    )
    times = table(
        ["400 muons", "CPU time per muon, µs"],
        ["muograph, θ_msc and PoCA without σ", "pullback, `quote`: with σ and three intervals of eight observables"],
        [microseconds(time), microseconds(own)],
    )
    yield "Absolute differences of `dtheta` and of the point of closest approach from pullback's:", difference
    line = (
        f"`angular_res_in` is {1000 * float(theirs['above']):.1f} mrad and `angular_res_out` "
        f"{1000 * float(theirs['below']):.1f} mrad, in quadrature {1000 * both:.1f} mrad. If this is taken for σ of "
        "θ_msc, it is, divided by the standard deviation of toys around the hits (each tool's own):"
    )
    yield line, sigmas
    yield "Time:", times


# A telescope of four layers.

PLANES = np.array([1.0, 0.7, 0.4, 0.0])
SLOPE_SIGMA = RESOLUTION / np.sqrt(((PLANES - PLANES.mean()) ** 2).sum())
DISTANCES = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 20.0, 200.0])
"""Zenith angle in units of the σ of a slope."""
KICK, SILICON = 0.001, 0.0937
"""Deflection of a layer in one view, rad, where layers scatter; radiation length of silicon, m."""


def straight(views, kick, per_bin=500):
    """True slopes (muon, view), and hits of muons at all distances from the fold."""
    rng = np.random.default_rng(6)
    length = np.concatenate([rng.uniform(*ends, per_bin) for ends in pairwise(DISTANCES)])
    turn = rng.uniform(0, 2 * np.pi, len(length))
    slope = (SLOPE_SIGMA * length)[:, None] * np.column_stack(
        [np.cos(turn), np.sin(turn)] if views > 1 else [np.sign(turn - np.pi)]
    )
    hits = slope[:, :, None] * (PLANES - PLANES[0])
    below = np.maximum(PLANES[:, None] - PLANES, 0.0)  # from each layer down to each
    hits = hits + rng.normal(0, kick, hits.shape) @ below + rng.normal(0, RESOLUTION, hits.shape)
    return slope, hits.reshape(len(length), -1)


def acts(ways, toys=500):
    """The angle to the axis of a telescope by the Kalman filter of ACTS."""
    slope, hits = straight(2, 0.0)
    true = np.arctan(np.hypot(*slope.T))
    case = {"z": PLANES, "sigma": RESOLUTION}
    by_acts = {f"ACTS, along {axis}": {"thickness": 0.0, "momentum": 1.0, "along": axis} for axis in "xz"}
    theirs = [ways.run("tracks", "by_acts", "pyacts", hits=hits, **case, **more)[0] for more in by_acts.values()]
    ours, _ = ways.run("tracks", "by_pullback", hits=hits, **case, theta0=0.0, views=2)
    distance, of_truth = np.tan(ours["theta"]) / SLOPE_SIGMA, np.tan(true) / SLOPE_SIGMA
    chosen = np.concatenate(in_bins(distance, DISTANCES, THROWN))
    thrown = thrown_around(hits[chosen], RESOLUTION, toys)
    of_toys = [ways.run("tracks", "by_acts", "pyacts", hits=thrown, **case, **more)[0] for more in by_acts.values()]
    of_toys.append(ways.run("tracks", "fitted_by_pullback", hits=thrown, **case)[0])
    sds, names = [spread(found["theta"], len(chosen)) for found in of_toys], bin_names(DISTANCES, "σ")
    recorded, truly = in_bins(distance[chosen], DISTANCES), in_bins(of_truth, DISTANCES)
    angle = table(
        ["θ of the hits", *by_acts, "pullback, `sigma`"],
        names,
        *(ratio(found["theta_sigma"][chosen], sd, recorded) for found, sd in zip([*theirs, ours], sds, strict=True)),
    )
    covered = table(
        ["true θ", *by_acts, "pullback, interval", *(f"width of pulls: {name}" for name in by_acts)],
        names,
        *(within(found, "theta", true, truly) for found in theirs),
        confident(ours, "theta", true, truly),
        *(pull_width(found, "theta", true, truly) for found in theirs),
    )
    few = {"hits": hits[:400], **case}
    times = [ways.run("tracks", "by_acts", "pyacts", **few, **by_acts["ACTS, along z"])[1]]
    times += [ways.run("tracks", "by_pullback", **few, theta0=0.0, views=2)[1]]
    clock = table(
        ["400 muons", "CPU time per muon, µs"],
        [
            "ACTS, fit, with hits handed over by Python one event at a time",
            "pullback, fit and `quote` of six observables",
        ],
        [microseconds(each) for each in times],
    )
    far = distance > 20
    same = [np.abs(theirs[0][f"{name}_sigma"] / ours[f"{name}_sigma"] - 1)[far] for name in ("theta", "x")]
    line = (
        "Telescope along x of ACTS, beyond 20 σ of a slope from the axis: σ of θ differs from pullback's by "
        f"{100 * same[0].max():.2f} % at most (median {100 * np.median(same[0]):.3f} %), and σ of x at the first layer "
        f"by {100 * same[1].max():.2f} % (median {100 * np.median(same[1]):.3f} %). σ of θ, divided by the standard "
        "deviation of toys around the hits, each tool's own:"
    )
    yield line, angle
    yield "How often the quoted 68 % interval holds the true θ:", covered
    line = "The same layers of 1 mm of silicon, and muons of 0.5 GeV/c: σ of θ by ACTS, divided by pullback's:"
    yield line, scattering_in_silicon(ways)
    yield "Time:", clock


def scattering_in_silicon(ways, thickness=0.001, momentum=0.5):
    """σ of θ by ACTS and by pullback where layers scatter."""
    from pullback.models.multiple_scattering import highland

    theta0 = float(highland(momentum, thickness, SILICON))
    zenith = [0.02, 0.1, 0.2, 0.4]
    hits = np.tan(zenith)[:, None] * np.concatenate([PLANES - PLANES[0], np.zeros(4)])
    case = {"hits": hits, "z": PLANES, "sigma": RESOLUTION / 10}
    theirs, _ = ways.run("tracks", "by_acts", "pyacts", **case, thickness=thickness, momentum=momentum, along="x")
    ours, _ = ways.run("tracks", "by_pullback", **case, theta0=theta0, views=2)
    off = theirs["theta_sigma"] / ours["theta_sigma"]
    return table(
        ["θ", "ACTS", "pullback", "ratio"],
        [f"{each} rad" for each in zenith],
        *([f"{1000 * each:.3f} mrad" for each in found["theta_sigma"]] for found in (theirs, ours)),
        [f"{each:.3f}" for each in off],
    )


def kalman(ways, toys=300):
    """One view, with scattering in the layers, by a Kalman filter of filterpy."""
    slope, hits = straight(1, KICK)
    true = np.arctan(np.abs(slope[:, 0]))
    case = {"z": PLANES, "sigma": RESOLUTION, "theta0": KICK}
    theirs, _ = ways.run("tracks", "by_filterpy", "filterpy", hits=hits, **case)
    ours, _ = ways.run("tracks", "by_pullback", hits=hits, **case, views=1)
    truth = {"slope": slope[:, 0], "x": np.zeros(len(slope))}
    whole = [np.arange(len(hits))]
    agreement = table(
        [
            "linear in the hits",
            "largest relative difference of σ",
            "largest difference of values, in σ",
            "width of pulls: Kalman filter",
            "pullback",
        ],
        ["slope above the layers", "x at the first layer"],
        *(
            [f"{each:.0e}" for each in found]
            for found in (
                [np.abs(theirs[f"{name}_sigma"] / ours[f"{name}_sigma"] - 1).max() for name in truth],
                [(np.abs(theirs[name] - ours[name]) / ours[f"{name}_sigma"]).max() for name in truth],
            )
        ),
        *([pull_width(found, name, truth[name], whole)[0] for name in truth] for found in (theirs, ours)),
    )
    sigma = float(np.median(ours["slope_sigma"]))
    edges = DISTANCES[:-1]
    distance, of_truth = np.abs(ours["slope"]) / sigma, np.abs(slope[:, 0]) / sigma
    chosen = np.concatenate(in_bins(distance, edges, THROWN))
    below = np.maximum(PLANES[:, None] - PLANES, 0.0)
    kicks = KICK * np.random.default_rng(8).normal(size=(len(chosen) * toys, 4)) @ below
    by_them, _ = ways.run(
        "tracks", "by_filterpy", "filterpy", hits=thrown_around(hits[chosen], RESOLUTION, toys) + kicks, **case
    )
    recorded, truly, toys_sd = (
        in_bins(distance[chosen], edges),
        in_bins(of_truth, edges),
        spread(by_them["theta"], len(chosen)),
    )
    angle = table(
        [
            "\\|slope\\|",
            "Kalman filter, σ_slope cos²θ",
            "pullback, `sigma`",
            "coverage: ± σ of the filter",
            "pullback's interval",
        ],
        bin_names(edges, "σ"),
        ratio(theirs["theta_sigma"][chosen], toys_sd, recorded),
        ratio(ours["theta_sigma"][chosen], toys_sd, recorded),
        within(theirs, "theta", true, truly),
        confident(ours, "theta", true, truly),
    )
    yield f"{len(hits)} simulated muons in one view, each layer deflecting them by {1000 * KICK:g} mrad:", agreement
    yield (
        (
            "θ = arctan|slope| is not linear, and folds at 0. σ of θ, divided by the standard deviation of toys "
            "around the hits, by distance of the recorded slope from 0; and how often 68 % intervals hold the true θ, "
            "by distance of the true slope:"
        ),
        angle,
    )


def acts_and_kalman(ways):
    """Both parts of the page."""
    yield from acts(ways)
    yield from kalman(ways)


# One hit.

PLACES = [
    (0.0, SIGMA_X),
    (0.005, SIGMA_X),
    (0.01, SIGMA_X),
    (0.02, SIGMA_X),
    (0.03, SIGMA_X),
    (0.5, SIGMA_X),
    (1.0, 0.5),
    (2.0, 0.5),
]
"""Recorded x and its σ, m; the last two have a σ so large that the arctan bends within it."""


@cache
def exact(x, sigma, toys=2_000_000):
    """The standard deviation of θ over toys around a hit."""
    return np.arctan(np.abs(x + sigma * np.random.default_rng(9).normal(size=toys)) / DZ).std()


def of_one_hit(ways, others, hits=400):
    """The tables of one hit, for functions of other libraries by the name of their column."""
    true = np.repeat([0.0025, 0.01, 0.5], hits)
    near = true + SIGMA_X * np.random.default_rng(10).normal(size=len(true))
    x = np.concatenate([[x for x, _ in PLACES], near])
    sigma = np.concatenate([[sigma for _, sigma in PLACES], np.full(len(true), SIGMA_X)])
    few = {"x": near[-hits:], "dz": DZ, "sigma": np.full(hits, SIGMA_X)}
    others = {**others, "pullback, `quote`": ("by_pullback", [], {})}
    runs = {
        name: ways.run("one_hit", way, *libraries, x=x, dz=DZ, sigma=sigma, **more)[0]
        for name, (way, libraries, more) in others.items()
    }
    times = [ways.run("one_hit", way, *libraries, **few, **more)[1] for way, libraries, more in others.values()]
    toys = np.array([exact(*place) for place in PLACES])
    ratios = [
        [f"{each:.2f}" if np.isfinite(each) else NONE for each in found["sigma"][: len(PLACES)] / toys]
        for found in runs.values()
    ]
    yield (
        "σ of θ, divided by the standard deviation of toys around the hit:",
        table(
            ["hit x ± σ_x", "toys, mrad", *runs],
            [f"{x:g} ± {sigma:g} m" for x, sigma in PLACES],
            [f"{1000 * each:.3f}" for each in toys],
            *ratios,
        ),
    )
    truth, bins = np.arctan(true / DZ), [np.arange(i * hits, (i + 1) * hits) for i in range(3)]
    held = []
    for name, found in runs.items():
        theta, width = found["theta"][len(PLACES) :], found["sigma"][len(PLACES) :]
        ends = found["confidence"][len(PLACES) :].T if "pullback" in name else (theta - width, theta + width)
        held.append(holds(truth, *ends, bins))
    yield (
        f"How often θ ± σ, or pullback's 68 % confidence interval, holds the true θ; {hits} hits around each true x:",
        table(["true x", *runs], ["0.25 σ_x", "1 σ_x", "50 σ_x"], *held),
    )
    yield (
        f"Time, for {hits} muons at once:",
        table(["way", "CPU time per muon, µs"], [*runs], [microseconds(each) for each in times]),
    )


def uncertainties(ways):
    """Linear propagation by the library `uncertainties`."""
    yield from of_one_hit(ways, {"`uncertainties`": ("by_uncertainties", ["uncertainties"], {})})


def jacobi(ways):
    """Numerical derivatives."""
    others = {
        "`jacobi`, one by one": ("by_jacobi", ["jacobi"], {}),
        "`jacobi`, `diagonal=True`": ("by_diagonal_jacobi", ["jacobi"], {}),
    }
    yield from of_one_hit(ways, others)


def suncal(ways):
    """The GUM and its Monte Carlo method."""
    others = {
        "suncal, GUM": ("by_suncal", ["suncal"], {}),
        "suncal, Monte Carlo of 10 000": ("by_suncal_monte_carlo", ["suncal"], {"samples": 10_000}),
        "GTC": ("by_gtc", ["GTC"], {}),
    }
    yield from of_one_hit(ways, others)


JOBS = {
    "tomopt": (tomopt, ["tomopt"], "scattering", ["by_tomopt"]),
    "muograph": (muograph, ["muograph"], "scattering", ["by_muograph"]),
    "acts_genfit": (acts_and_kalman, ["acts", "filterpy"], "tracks", ["by_acts", "by_filterpy"]),
    "uncertainties": (uncertainties, ["uncertainties"], "one_hit", ["by_uncertainties"]),
    "jacobi": (jacobi, ["jacobi"], "one_hit", ["by_jacobi", "by_diagonal_jacobi"]),
    "suncal": (suncal, ["suncal", "GTC"], "one_hit", ["by_suncal", "by_suncal_monte_carlo", "by_gtc"]),
}
"""Of each page: what measures it, the modules that it needs, and the functions that it shows."""
NAMES = {"acts": "pyacts"}
"""Packages with another name than their module."""


def write_page(name, ways, parts):
    """Put numbers and code into a page."""
    _, modules, file, functions = JOBS[name]
    used = ", ".join(f"{each} {ways.versions[each]}" for each in (NAMES.get(module, module) for module in modules))
    where = f"`python benchmarks/coming_from.py --docs` on {machine('torch', 'numpy')}; {used}."
    page, tables = PAGES / f"{name}.md", "\n\n".join(f"{words}\n\n{markdown(*shown)}" for words, shown in parts)
    into_docs("numbers", f"{where}\n\n{tables}", page)
    into_docs("theirs", "\n\n".join(code_of(file, each) for each in functions), page)
    into_docs("ours", code_of(file, "by_pullback"), page)


def main():
    """Measure what is installed; with --docs, write it into the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help="write code and tables into docs/coming_from/")
    parser.add_argument("--tomography", metavar="PYTHON", help="the Python of an environment with tomopt and muograph")
    parser.add_argument("--only", nargs="+", choices=JOBS, default=[*JOBS], help="some pages")
    options = parser.parse_args()
    ways = Ways(options.tomography)
    for name in options.only:
        measure, modules, *_ = JOBS[name]
        if why := ways.missing(*modules):
            print(f"{name}: left out, {why}")
            continue
        parts = list(measure(ways))
        print(name, *(f"{words}\n\n{aligned(*shown)}" for words, shown in parts), sep="\n\n", flush=True)
        if options.docs:
            write_page(name, ways, parts)


if __name__ == "__main__":
    main()
