"""Tasks and their environments, alone or in parallel processes."""
