"""Run folders, and where numbers come from."""
