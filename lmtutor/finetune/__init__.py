"""The second way: examples with answers, some or all weights."""
