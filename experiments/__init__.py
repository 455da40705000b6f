"""One tracked run: events go to a local journal, and from there to MLflow. The only writer to MLflow."""
