"""Models on disk: the bundle that training writes and inference opens."""
