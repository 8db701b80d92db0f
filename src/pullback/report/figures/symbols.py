"""Symbols, and numbers of the config, as they are set in figures."""

from __future__ import annotations

import re

from ...config.dotted_names import keys_and_indices
from ...models import Quantity

SIGNS = {"theta0": "$θ_0$", "sigma": "σ"}
"""Keys of the config that have a sign."""


def in_math(text: str) -> str:
    r"""A symbol as mathematics: letters have subscripts, and dollar signs are no mathematics.

    >>> in_math("θ_msc"), in_math("x_in(60 mm)"), in_math("q/p"), in_math("time_of_flight")
    ('$θ_\\mathrm{msc}$', '$x_\\mathrm{in}$(60 mm)', 'q/p', 'time of flight')

    """
    return re.sub(r"\w*_\w*", _subscripted, text.replace("$", r"\$"))


def _subscripted(found: re.Match[str]) -> str:
    """One letter, or one after Δ, with a subscript; of a longer name, its words."""
    base, *below = found[0].strip("_").split("_")
    if below and len(base.removeprefix("Δ")) == 1 and base.isalpha():
        return f"${base}_\\mathrm{{{','.join(below)}}}$"
    return " ".join([base, *below])


def with_symbol(quantity: Quantity) -> Quantity:
    """A coordinate or an observable whose symbol is mathematics."""
    return quantity._replace(symbol=in_math(quantity.symbol))


def key_in_math(name: str) -> str:
    r"""The short name of a number of the config, by its dotted name; of another source of uncertainty, its name.

    >>> key_in_math("model.z_lower[0]"), key_in_math("alignment.x[1]"), key_in_math("source.cosmic.zenith_max")
    ('$z_\\mathrm{lower,0}$', 'alignment $x_\\mathrm{1}$', 'zenith max')
    >>> key_in_math("detector.resolution[2]"), key_in_math("model.theta0"), key_in_math("layer 0")
    ('resolution 2', '$θ_0$', 'layer 0')

    """
    if "." not in name:
        return in_math(name)
    section, *keys = keys_and_indices(name)
    *_, before, last = "", *(str(each) for each in keys if not isinstance(each, int))
    below = "_".join(str(each) for each in keys if isinstance(each, int))
    first = section if section == "alignment" else SIGNS.get(before, before) if len(last) == 1 else ""
    if below and len(last.split("_")[0]) == 1:
        last, below = f"{last}_{below}", ""
    return " ".join(filter(None, [first, SIGNS.get(last) or in_math(last), below]))
