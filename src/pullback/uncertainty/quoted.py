"""The columns that are quoted of muons."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from .table import numpy_columns, short_table


class Quoted(NamedTuple):
    """What `quote` returns, muon by muon, and observable by observable."""

    value: Float[Tensor, "muon observable"]
    sigma: Float[Tensor, "muon observable"]
    bias: Float[Tensor, "muon observable"]
    interval68: Float[Tensor, "muon observable 2"]
    interval95: Float[Tensor, "muon observable 2"]
    confidence68: Float[Tensor, "muon observable 2"]
    confidence95: Float[Tensor, "muon observable 2"]
    sigma_linear: Float[Tensor, "muon observable"]
    linear_valid: Bool[Tensor, "muon observable"]

    def __repr__(self) -> str:
        """Return a short table of the first and last muons."""
        return short_table(self._asdict())

    def to_dict(self) -> dict[str, np.ndarray]:
        """Columns of one row per muon and observable, such as for `pandas.DataFrame`."""
        return numpy_columns(self._asdict())
