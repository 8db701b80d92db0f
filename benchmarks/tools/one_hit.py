"""θ = arctan(|x|/dz) of one hit x known to sigma: by libraries that propagate uncertainties, and by pullback.

Each function gets x and sigma (muon,), and returns θ and σ of each.
"""


def by_uncertainties(x, dz, sigma):
    """Numbers that carry their derivatives."""
    from uncertainties import unumpy

    theta = unumpy.arctan(abs(unumpy.uarray(x, sigma)) / dz)
    return {"theta": unumpy.nominal_values(theta), "sigma": unumpy.std_devs(theta)}


def by_jacobi(x, dz, sigma):
    """Numerical derivatives, one muon at a time."""
    import numpy as np
    from jacobi import propagate

    found = [propagate(lambda x: np.arctan(np.abs(x) / dz), *each) for each in zip(x, sigma**2, strict=True)]
    theta, variance = np.array(found).T
    return {"theta": theta, "sigma": np.sqrt(variance)}


def by_diagonal_jacobi(x, dz, sigma):
    """Numerical derivatives of all muons at once."""
    import numpy as np
    from jacobi import propagate

    theta, variance = propagate(lambda x: np.arctan(np.abs(x) / dz), x, sigma**2, diagonal=True)
    return {"theta": theta, "sigma": np.sqrt(variance)}


def by_suncal(x, dz, sigma):
    """The law of the GUM by suncal, one muon at a time; its functions have no |x|."""
    import numpy as np
    from suncal import Model

    found = []
    for hit, width in zip(x, sigma, strict=True):
        model = Model("theta = atan(sqrt(x**2)/dz)")
        model.var("x").measure(hit).typeb(std=width)
        model.var("dz").measure(dz)
        result = model.calculate_gum()
        found.append([result.expected["theta"], result.uncertainty["theta"]])
    theta, sigmas = np.array(found, dtype=float).T
    return {"theta": theta, "sigma": sigmas}


def by_suncal_monte_carlo(x, dz, sigma, samples):
    """The Monte Carlo method of suncal, one muon at a time."""
    import numpy as np
    from suncal import Model

    found = []
    for hit, width in zip(x, sigma, strict=True):
        model = Model("theta = atan(sqrt(x**2)/dz)")
        model.var("x").measure(hit).typeb(std=width)
        model.var("dz").measure(dz)
        result = model.monte_carlo(samples=samples)
        found.append([result.expected["theta"], result.uncertainty["theta"]])
    theta, sigmas = np.array(found, dtype=float).T
    return {"theta": theta, "sigma": sigmas}


def by_gtc(x, dz, sigma):
    """Uncertain numbers of GTC; it refuses |x| at x = 0, which is NaN here."""
    import GTC
    import numpy as np

    found = []
    for hit, width in zip(x, sigma, strict=True):
        theta = GTC.atan(GTC.magnitude(GTC.ureal(hit, width)) / dz) if hit else None
        found.append([theta.x, theta.u] if hit else [0.0, np.nan])
    theta, sigmas = np.array(found).T
    return {"theta": theta, "sigma": sigmas}


def by_pullback(x, dz, sigma):
    """The σ that pullback quotes."""
    from functools import partial

    from pullback import infer_theta, quote

    quoted = quote(partial(infer_theta, dz=dz), x[:, None], sigma=sigma[:, None])
    return {"theta": quoted.value[:, 0], "sigma": quoted.sigma[:, 0], "confidence": quoted.confidence68[:, 0]}
