"""The check of a GPU: tests, sanitizers and timings on a machine with a CUDA device, in stages with time limits.

``make gpu-check`` runs it where the project is installed. ``make gpu-kit`` packs what a bare machine lacks (`pack`);
there ``python3 -m benchmarks.gpu_check --kit FOLDER STAGE ...`` needs Python and torch, and no package index. What
starts stages (`runner`, `stages`, `config`, `store`) uses the standard library alone; each step is one
module. ``docs/development.md`` says how to use it.
"""
