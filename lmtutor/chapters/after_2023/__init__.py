"""After 2023: what was added to the three ways, and what each addition moves."""
