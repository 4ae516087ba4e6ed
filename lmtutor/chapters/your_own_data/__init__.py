"""Chapter 17: the comparison on the reader's own data, and two worked examples."""
