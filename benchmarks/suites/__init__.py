"""What is timed: one module for each command of ``stylerig-bench`` that measures something."""
