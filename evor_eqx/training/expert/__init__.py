"""Experts: policies trained here by online RL, which then collect data."""
