"""Many machines: Ray core behind the same contract as processes; heads, nodes and slots."""
