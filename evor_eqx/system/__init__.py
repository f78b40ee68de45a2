"""Files, locks, paths, processes, signals and progress. No RL, no JAX."""
