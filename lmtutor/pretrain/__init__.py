"""The first way: much plain text, every weight, from random."""
