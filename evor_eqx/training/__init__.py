"""Fused updates, run folders, the action bank, several seeds and several devices."""
