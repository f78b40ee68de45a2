"""What an agent does and what a critic is worth: rollouts, recordings, Monte Carlo, held-out evaluation."""
