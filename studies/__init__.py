"""Many runs: one owner asks Optuna, hands runs to workers and records what comes back."""
