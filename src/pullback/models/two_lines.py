"""Two straight lines with slopes p above a volume and q below it: angles between them, and where they are closest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Bool, Float

from ..uncertainty import elementwise
from ..uncertainty.arrays import Tensor

SMALL_ANGLE = 0.02
"""Tangent of a scattering angle below which five terms of its series are exact to 1e-17."""


PerMuon = Float[Tensor, " muon"]
"""One number for each muon."""


def as_columns(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """A function of some columns that returns one or several, as a function of a tensor that returns a tensor."""

    def columns(parameters: Float[Tensor, "muon parameter"], **_: Any) -> Float[Tensor, "muon result"]:
        import torch

        found = function(*parameters.unbind(1))
        return torch.stack(found, dim=1) if isinstance(found, tuple) else found[:, None]

    return columns


def turn(before: PerMuon, after: PerMuon) -> PerMuon:
    """The change of the angle in a view, arctan q − arctan p, from both slopes."""
    return (after - before).arctan2(1 + before * after)


def _normal(px: PerMuon, py: PerMuon, qx: PerMuon, qy: PerMuon) -> tuple[PerMuon, PerMuon, PerMuon]:
    """dx, dy and n_z, of which n = p × q is (−dy, dx, n_z): in terms of the difference of directions."""
    dx, dy = qx - px, qy - py
    return dx, dy, px * dy - py * dx


def angle(px: PerMuon, py: PerMuon, qx: PerMuon, qy: PerMuon) -> PerMuon:
    """The angle between both lines, atan2(|p × q|, p·q)."""
    return elementwise.length(*_normal(px, py, qx, qy)).arctan2(1 + px * qx + py * qy)


def deflection(px: PerMuon, py: PerMuon, qx: PerMuon, qy: PerMuon) -> tuple[PerMuon, PerMuon]:
    """Two signed angles of which `angle` is the length; see `scatter.signed_scatter`."""
    dx, dy, nz = _normal(px, py, qx, qy)
    along = 1 + px * qx + py * qy  # p·q
    up, down = ((1 + x * x + y * y).rsqrt() for x, y in ((px, py), (qx, qy)))
    bisector = [up * px + down * qx, up * py + down * qy, up + down]
    across = nz / (elementwise.length(*bisector) + bisector[2])
    per_length = _angle_over_length(dx.square() + dy.square() + nz.square(), along)
    return per_length * (dx - across * bisector[1]), per_length * (dy + across * bisector[0])


def _angle_over_length(square: Float[Tensor, " muon"], along: Float[Tensor, " muon"]) -> Float[Tensor, " muon"]:
    """atan2(|n|, p·q)/|n| from |n|² and p·q, with smooth derivatives at n = 0: by its series for small angles."""
    import torch

    small = square < SMALL_ANGLE**2 * along.square()
    ratio = torch.where(small, square, 0.0) / along.square()
    series = (1 - ratio * (1 / 3 - ratio * (1 / 5 - ratio * (1 / 7 - ratio / 9)))) / along
    length = torch.where(small, 1.0, square).sqrt()
    return torch.where(small, series, length.arctan2(along) / length)


def closest_approach(
    lines: Sequence[PerMuon], middle: Float[Tensor, ""]
) -> tuple[Sequence[PerMuon], Bool[Tensor, " muon"]]:
    """The middle of the shortest line between both lines, and where there is one.

    From p_x, p_y, q_x and q_y, and the positions x and y above, then below, at the height of the middle.
    """
    px, py, qx, qy, x, y, x_below, y_below = lines
    (dx, dy, nz), vx, vy = _normal(px, py, qx, qy), x_below - x, y_below - y  # v = (vx, vy, 0)
    square = dx.square() + dy.square() + nz.square()
    unscattered = square == 0
    square = square.masked_fill(unscattered, 1.0)
    shared = vx * dx + vy * dy
    s = ((vx * qy - vy * qx) * nz - shared) / square
    t = ((vx * py - vy * px) * nz - shared) / square
    point = [
        (x + x_below + s * px + t * qx) / 2,
        (y + y_below + s * py + t * qy) / 2,
        middle + (s + t) / 2,
    ]
    return point, ~unscattered
