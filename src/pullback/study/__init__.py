"""What is to be computed: the points of a scan, their batches and blocks."""
