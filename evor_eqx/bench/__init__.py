"""Speed: updates, decisions, simulation and the explorer, beside this machine's own matrix product."""
