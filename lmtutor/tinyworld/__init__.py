"""The small world that all three ways use: its language, its questions, its released runs."""
