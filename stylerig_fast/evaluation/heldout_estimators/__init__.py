"""Estimators that judge the rig and that training never reads: the person, a face mesh, feature networks, background.

No module of `stylerig_fast.train` may import this package (``tests/test_layout.py``).
"""
