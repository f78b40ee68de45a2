"""The agent: base policy, critic, inference settings and selection rule; saving and loading."""
