"""Data collected here, by OGBench's controllers on MuJoCo."""
