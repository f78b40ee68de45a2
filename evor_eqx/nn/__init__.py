"""Networks, velocity fields and flow matching. Nothing about RL."""
