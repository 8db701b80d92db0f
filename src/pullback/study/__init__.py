"""What a study computes: the points of a scan, their batches and blocks."""
