"""Interactive views for notebooks: the explorer, the rollout viewer and the live view of a training."""
