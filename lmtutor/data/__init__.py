"""Real text for the chapters, and the reader's own: each loader returns a `datasets.DatasetDict` and has a card."""
