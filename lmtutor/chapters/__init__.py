"""One folder a chapter: its experiments with their records, and its exercises. None imports another."""
