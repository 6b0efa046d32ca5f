"""Results: their file format, tables, plots, the page of benchmarks, and the comparison of two files."""
