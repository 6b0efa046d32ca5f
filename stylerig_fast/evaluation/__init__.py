"""Judges of pictures that are independent of the trained reconstructor, and the figures they give."""
