"""Critics on processes whose return distribution is known exactly."""
