"""The array types of the signatures, without importing torch where nobody uses it."""

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

# Simulating and smearing need only numpy, and importing torch takes longer than they do. A signature names
# `Tensor` all the same; type checkers, and the run-time checks of the tests, see the real class.
if TYPE_CHECKING or "torch" in sys.modules:
    from torch import Tensor
else:
    Tensor = Any

Array = Tensor | np.ndarray
"""What public functions take: numpy in gives numpy out."""

Given = TypeVar("Given", Tensor, np.ndarray)
"""An argument whose kind of array the result is of."""

__all__ = ["Array", "Given", "Tensor"]
