"""One training loop, and what it needs: metrics, evaluation, averaged weights, checkpoints."""
