"""Data, base policy, critic, agent and evaluation, each made once and then found."""
