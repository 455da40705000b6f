"""Where text comes from, and how it becomes batches: sources, readers, splits, vocabulary, cache."""
