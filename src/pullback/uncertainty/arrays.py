"""The array types of the signatures, without importing torch where nobody uses it."""

import sys
from typing import TYPE_CHECKING, Any

# Simulating and smearing need only numpy, and importing torch takes longer than they do. A signature names
# `Tensor` all the same; type checkers, and the run-time checks of the tests, see the real class.
if TYPE_CHECKING or "torch" in sys.modules:
    from torch import Tensor
else:
    Tensor = Any

__all__ = ["Tensor"]
