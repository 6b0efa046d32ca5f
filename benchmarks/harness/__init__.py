"""How things are timed: systems, interleaved rounds, statistics, parity, and what the machine can do at best.

Nothing here knows which benchmarks there are (`suites`) or how their results are shown (`report`).
"""
