"""Text in, probabilities out. A run is a stream of events; this package knows no tracker and no tuner."""
