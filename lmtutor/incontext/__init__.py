"""The third way: examples in the prompt, no weight."""
