"""What a study computes: the points of a scan, their batches and blocks."""

from .batches import Batch, Part
from .plan import Study

__all__ = ["Batch", "Part", "Study"]
