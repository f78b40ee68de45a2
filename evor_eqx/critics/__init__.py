"""Phase 2, one file per critic: its configuration, `make`, its loss and its return distribution."""
