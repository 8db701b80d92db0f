"""Closed forms of the built-in models: angles and points of straight lines, and their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Float

from ..uncertainty.arrays import Tensor
from ..uncertainty.closed_form import ClosedForm
from .base import Function
from .line_fit import line_factors

OfLayers = Float[np.ndarray, " _"]

OfPlanes = Sequence[float] | Float[np.ndarray, " plane"]

Lines = Sequence[tuple[OfLayers, OfLayers, int]]
"""Heights and resolutions of the layers of each line, and the first of its coordinates."""

Derived = tuple[Float[np.ndarray, "curved muon"], Sequence[Float[np.ndarray, "_ _ muon"]]]


def with_closed_form(form: Callable[..., ClosedForm | None]) -> Callable[[Function], Function]:
    """Decorate the inference of a built-in model with its closed form, which takes its parameters as arrays.

    It is None for parameters that the inference refuses. It is made once for the same numbers: for few muons that takes
    as long as all the rest.
    """

    @lru_cache(maxsize=256)
    def with_numbers(*parameters: tuple[str, bytes, tuple[int, ...]]) -> ClosedForm | None:
        return form(**{name: np.frombuffer(numbers).reshape(shape) for name, numbers, shape in parameters})

    def with_parameters(**parameters: np.ndarray) -> ClosedForm | None:
        return with_numbers(*((name, each.tobytes(), each.shape) for name, each in parameters.items()))

    def declared(infer: Function) -> Function:
        vars(infer)["closed_form"] = with_parameters
        return infer

    return declared


def one_hit_form(dz: float | Float[np.ndarray, ""] = 1.5) -> ClosedForm | None:
    """θ, from the slope."""
    return ClosedForm(np.array([[1 / dz]]), angle_of_slope, (None,)) if dz > 0 else None


def track_form(z: OfLayers, resolution: OfLayers, at: OfPlanes = ()) -> ClosedForm | None:
    """Slope, θ, intercept and positions on planes, from slope and intercept."""
    if not _is_usual([z], resolution, 1):
        return None
    gain = _gain([(z, resolution, 0)], 0.0, at)
    return ClosedForm(gain, angle_of_slope, (0, None, *range(1, len(gain))))


def track3d_form(z: OfLayers, resolution: OfLayers, at: OfPlanes = ()) -> ClosedForm | None:
    """θ, φ, slopes and positions on planes, from the slopes."""
    if not _is_usual([z], resolution, 2):
        return None
    x, y = _by_view(resolution, len(z))
    gain = np.delete(_gain([(z, x, 0), (z, y, len(z))], 0.0, at), (2, 3), axis=0)  # without positions at z = 0
    return ClosedForm(gain, angles_of_slopes, (None, None, *range(len(gain))))


def scatter_form(z_upper: OfLayers, z_lower: OfLayers, resolution: OfLayers, at: OfPlanes = ()) -> ClosedForm | None:
    """Angles, point of closest approach and positions on planes, from slopes and positions at the middle."""
    if not _is_usual([z_upper, z_lower], resolution, 2):
        return None
    upper, layers = len(z_upper), len(z_upper) + len(z_lower)
    x, y = _by_view(resolution, layers)
    above = [(z_upper, x[:upper], 0), (z_upper, y[:upper], layers)]
    below = [(z_lower, x[upper:], upper), (z_lower, y[upper:], layers + upper)]
    middle = (z_upper.mean() + z_lower.mean()) / 2
    gain = _gain([*above, *below], middle, at)
    return ClosedForm(gain, lambda u: angles_and_point(u, middle), (*[None] * 8, *range(8, len(gain))))


def _is_usual(heights: Sequence[np.ndarray], resolution: np.ndarray, views: int) -> bool:
    """Whether a line can be fitted in each view."""
    layers = sum(map(np.size, heights))
    fitting = resolution.shape in {(layers,), (views * layers,)} and bool(resolution.min() > 0)
    return fitting and all(z.ndim == 1 and z.min() < z.max() for z in heights)


def _by_view(resolution: np.ndarray, layers: int) -> tuple[np.ndarray, np.ndarray]:
    """The resolutions in both views, which may share them."""
    return resolution[:layers], resolution[-layers:]


def _gain(lines: Lines, reference: float, at: OfPlanes) -> Float[np.ndarray, "quantity coordinate"]:
    """The linear map from hits to the slopes of all lines, their positions at a height, and those on each plane."""
    gain = np.zeros((2 + len(at), len(lines), sum(len(z) for z, _, _ in lines)))
    for index, (z, resolution, first) in enumerate(lines):
        slope, position = line_factors(_as_tensor(resolution).square(), _as_tensor(z - z[0]), reference - z[0])
        rows = [slope, position, *(position + slope * (height - reference) for height in at)]
        gain[:, index, first : first + len(z)] = [row.numpy() for row in rows]
    return gain.reshape(len(gain) * len(lines), -1)


def _as_tensor(numbers: OfLayers) -> Tensor:
    import torch

    return torch.tensor(numbers)


def angle_of_slope(u: Float[np.ndarray, "quantity muon"]) -> Derived:
    """θ = arctan|s| of a slope s, with dθ/ds = sign(s)/(1 + s²): 0 at the fold."""
    s = u[:1]
    slope = s * s
    slope += 1.0
    np.divide(np.sign(s), slope, out=slope)
    return arctan2(np.abs(s)), [slope[:, None]]


def angles_of_slopes(u: Float[np.ndarray, "quantity muon"]) -> Derived:
    """θ and φ = atan2(s_y, s_x) of slopes s, with ∂φ/∂s = (−s_y, s_x)/|s|²; where s is 0, these and φ are 0."""
    s = u[:2]
    angles, slopes = np.empty_like(s), np.empty((2, *s.shape))
    angles[0] = _zenith(s, slopes[0])
    square = s[0] * s[0] + s[1] * s[1]
    nowhere = square == 0
    square += nowhere
    angles[1] = arctan2(s[1], s[0] + nowhere)
    np.divide(s[1], -square, out=slopes[1, 0])
    np.divide(s[0], square, out=slopes[1, 1])
    return angles, [slopes]


def _zenith(s: Float[np.ndarray, "2 muon"], slopes: Float[np.ndarray, "2 muon"]) -> Float[np.ndarray, " muon"]:
    """θ = arctan ρ of slopes s, ρ = |s|. It writes ∂θ/∂s = s/(ρ (1 + ρ²)), which is 0 at the fold."""
    square = s[0] * s[0] + s[1] * s[1]
    rho = np.sqrt(square)
    np.divide(s, (rho + (square == 0)) * (1.0 + square), out=slopes)
    return arctan2(rho)


def angles_and_point(u: Float[np.ndarray, "quantity muon"], middle: float) -> Derived:
    """The observables of `scatter` from slopes p above and q below, and from positions P and Q at the middle height.

    With d = q − p, n = p × q and w⊥ = (w_y, −w_x), n × p is d − n_z p⊥ and n × q is d − n_z q⊥ in x and y. The
    derivatives of θ_msc are −(n × p)/(|n| |p|²) and (n × q)/(|n| |q|²), with |p|² = 1 + p_x² + p_y².
    """
    p, q = u[0:2], u[2:4]
    values, slopes = np.empty((8, u.shape[1])), np.zeros((5, 4, u.shape[1]))
    values[0], values[1] = _zenith(p, slopes[0, 0:2]), _zenith(q, slopes[1, 2:4])
    d, along, square_p, square_q = q - p, p * q, p * p, q * q
    values[2:4] = arctan2(d, 1.0 + along)  # arctan q − arctan p
    for axis in (0, 1):
        np.divide(-1.0, 1.0 + square_p[axis], out=slopes[2 + axis, axis])
        np.divide(1.0, 1.0 + square_q[axis], out=slopes[2 + axis, 2 + axis])
    n_z = p[0] * d[1] - p[1] * d[0]
    n_p, n_q = d - n_z * _turned(p), d - n_z * _turned(q)
    square = d[0] * d[0] + d[1] * d[1] + n_z * n_z
    length, parallel = np.sqrt(square), square == 0
    values[4] = arctan2(length, 1.0 + along[0] + along[1])
    length += parallel
    square += parallel
    np.divide(n_p, -length * (1.0 + square_p[0] + square_p[1]), out=slopes[4, 0:2])
    np.divide(n_q, length * (1.0 + square_q[0] + square_q[1]), out=slopes[4, 2:4])
    values[5:], of_point = _closest_approach(u, n_z, n_p, n_q, square)
    values[7] += middle
    if parallel.any():  # these tracks have no point of closest approach
        values[5:, parallel], of_point[:, :, parallel] = np.nan, 0.0
    return values, [slopes, of_point]


def _closest_approach(
    u: Float[np.ndarray, "quantity muon"],
    n_z: Float[np.ndarray, " muon"],
    n_p: Float[np.ndarray, "2 muon"],
    n_q: Float[np.ndarray, "2 muon"],
    square: Float[np.ndarray, " muon"],
) -> tuple[Float[np.ndarray, "3 muon"], Float[np.ndarray, "3 8 muon"]]:
    """The point of closest approach, its z from the middle, and its derivatives.

    The ends of the shortest line are P + s p and Q + t q. With v = Q − P, v·(n × q) = v·d − n_z v·q⊥ = −s |n|², and
    likewise for t and p. The derivatives of s are those of its numerator − s those of |n|², over |n|².
    """
    p, q, first, second = u[0:2], u[2:4], u[4:6], u[6:8]
    v, p_turned, q_turned = second - first, _turned(p), _turned(q)
    over, across = 1.0 / square, n_z * _turned(v)
    s, t = (-over * (v[0] * n[0] + v[1] * n[1]) for n in (n_q, n_p))
    by_s, by_t = np.empty((8, u.shape[1])), np.empty((8, u.shape[1]))
    for by, end, turned in ((by_s, s, q_turned), (by_t, t, p_turned)):
        reach = v[0] * turned[0] + v[1] * turned[1]
        np.add(reach * q_turned + v, 2.0 * end * n_q, out=by[0:2])
        np.add(reach * p_turned + v, 2.0 * end * n_p, out=by[2:4])
    by_t[0:2] -= across
    by_s[2:4] += across
    for by, n in ((by_s, n_q), (by_t, n_p)):
        by[0:2] *= over
        by[2:4] *= -over
        np.multiply(n, over, out=by[4:6])
        np.negative(by[4:6], out=by[6:8])
    slopes = np.empty((3, *by_s.shape))
    for axis in (0, 1):
        np.add(by_s * p[axis], by_t * q[axis], out=slopes[axis])
        for place, direct in enumerate((s, t, 1.0, 1.0)):
            slopes[axis, 2 * place + axis] += direct
    np.add(by_s, by_t, out=slopes[2])
    slopes *= 0.5
    point = np.stack([*(first + second + s * p + t * q), s + t])
    point *= 0.5
    return point, slopes


def _turned(w: Float[np.ndarray, "2 muon"]) -> Float[np.ndarray, "2 muon"]:
    """w⊥ = (w_y, −w_x)."""
    turned = w[::-1].copy()
    np.negative(turned[1], out=turned[1])
    return turned


def arctan2(
    y: Float[np.ndarray, "*shape"], x: Float[np.ndarray, "*shape"] | None = None
) -> Float[np.ndarray, "*shape"]:
    """The angle of (x, y), x = 1 by default, by torch as in the models: numpy's is slow on CPUs without AVX-512."""
    angle, tensor, one = _from_torch()
    found: np.ndarray = angle(tensor(y), one if x is None else tensor(x)).numpy()
    return found


@cache
def _from_torch() -> tuple[Callable[..., Tensor], Callable[[np.ndarray], Tensor], Tensor]:
    """Imported once: for few muons, finding it imported takes as long as all angles."""
    import torch

    return torch.arctan2, torch.from_numpy, torch.ones((), dtype=torch.float64)
