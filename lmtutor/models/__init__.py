"""What is asked: the book's own decoder, real language models, and what needs no language model."""
