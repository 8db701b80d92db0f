"""What a detector does to a block of true hits."""
