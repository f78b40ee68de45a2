"""Recorded episodes, side by side, as a viewer, a figure or a GIF."""
