"""Effects of a detector on a block of true hits."""
