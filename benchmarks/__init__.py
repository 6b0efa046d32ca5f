"""Benchmarks, installed as ``stylerig_fast.benchmarks``."""
