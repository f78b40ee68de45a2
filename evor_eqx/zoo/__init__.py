"""Saved agents, and the held-out rows that explain them."""
