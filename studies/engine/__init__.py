"""What runs a study: the scheduler, its workers, its storage, and what puts things in order afterwards."""
