"""Pictures to scale: both axes alike, or one stretched by a number that is said."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from .base import SMALL

WIDE = 1.3
"""Width of a picture over its height."""

LEAST_STRETCHED, MOST_STRETCHED = 10, 1000
"""Smallest and largest number by which sideways distances are stretched against heights."""


ROOM_FOR_LETTER = 0.06
"""Width that a letter needs, over the height of a picture."""

WIDTH_OF_LETTER = 0.021
"""The same over the width of a picture, of a letter in a word."""


def set_scale(axes: Axes, across: tuple[float, float], upright: tuple[float, float], view: str, factor: float) -> int:
    """Set the limits of a picture that holds some positions and heights, and say its scale.

    Returns by how much positions are stretched.

    Parameters
    ----------
    axes : Axes
        Positions along x and heights along y.
    across, upright : tuple of float
        The smallest and the largest position, and height, in the units of the axes.
    view : str
        Name of the coordinate along x.
    factor : float
        A length in the unit of x over the same length in the unit of y.

    """
    height = (upright[1] - upright[0]) * factor
    middle, needed = (across[0] + across[1]) / 2, 0.6 * (across[1] - across[0])
    stretched = stretching(WIDE * height / 2 / needed) if needed > 0 else 1
    half = max(WIDE * height / 2 / stretched, needed)
    axes.set(xlim=(middle - half, middle + half), ylim=upright)
    axes.set_aspect(factor / stretched, adjustable="box")
    words = "to scale" if stretched == 1 else f"{view} stretched {stretched} times"
    axes.set_title(words, fontsize=SMALL)
    return stretched


def stretching(most: float) -> int:
    """The largest of 1, 10, 20, 50, … 1000 that is at most a number.

    >>> stretching(3.0), stretching(30.0), stretching(1e9), stretching(0.1)
    (1, 20, 1000, 1)

    """
    if most < LEAST_STRETCHED:
        return 1
    power = 10 ** math.floor(math.log10(min(most, MOST_STRETCHED)))
    return int(max(power * each for each in (1, 2, 5) if power * each <= min(most, MOST_STRETCHED)))


def draw_angle(axes: Axes, at: tuple[float, float], to: tuple[float, float], words: str, scale: float) -> None:
    """Draw the angle at a point between the vertical and the direction to another point, with its name.

    `scale` is how long a unit of x is drawn over a unit of y.
    """
    right, up = (to[0] - at[0]) * scale, to[1] - at[1]
    angle, radius, upward = math.atan2(right, abs(up)), 0.35 * math.hypot(right, up), math.copysign(1, up)
    turns = np.linspace(0.0, angle, 41)
    axes.plot(at[0] + radius * np.sin(turns) / scale, at[1] + upward * radius * np.cos(turns), color="black", lw=0.8)
    axes.plot([at[0], at[0]], [at[1], at[1] + 1.2 * upward * radius], color="black", lw=0.8, ls=":")
    height = float(abs(axes.get_ylim()[1] - axes.get_ylim()[0]))
    wedge = 2 * math.tan(abs(angle) / 2)
    inside = max(1.15 * radius, ROOM_FOR_LETTER * height / wedge) if wedge else math.inf
    if len(words) == 1 and inside < 0.9 * math.hypot(right, up):
        towards, away, side = angle / 2, inside, "center"
    else:  # too long, or the angle too narrow: on the other side of the vertical
        towards, away, side = -math.copysign(0.2, angle), 1.1 * radius, "right" if angle > 0 else "left"
    place = at[0] + away * math.sin(towards) / scale, at[1] + upward * away * math.cos(towards)
    upright = "center"
    left, right_end = axes.get_xlim()
    room = (place[0] - left if side == "right" else right_end - place[0]) / (right_end - left)
    if side != "center" and room < WIDTH_OF_LETTER * len(words):  # it would be on the axis: beyond the vertical's end
        place, side = (at[0], at[1] + 1.25 * upward * radius), "left" if side == "right" else "right"
        upright = "bottom" if up > 0 else "top"
    axes.text(*place, words, ha=side, va=upright, fontsize=SMALL)
