"""The explorer: one state, its candidates, and what each inference setting makes of them."""
