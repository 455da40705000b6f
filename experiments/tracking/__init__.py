"""How a run is recorded: a local journal first, MLflow later. The only writer to MLflow."""
