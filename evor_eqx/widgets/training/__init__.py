"""A training to look at while it runs."""
