"""Effects of a detector on a block of true hits."""

from .response import Response

__all__ = ["Response"]
