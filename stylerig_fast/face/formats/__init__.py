"""Readers of published 3D morphable models, one file per format."""
