"""Datasets: where they come from, their rows, and the windows that batches are drawn from."""
