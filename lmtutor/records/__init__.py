"""Recorded runs: experiments too long for a chapter, kept as results that know which code and data made them."""
