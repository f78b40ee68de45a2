"""Every method on every task, its results, and their tables and curves."""
