"""The check of a GPU: tests, sanitizers, timings, on a machine with a CUDA device, in stages with limits of their own.

``make gpu-check`` runs it where the project is installed. ``make gpu-kit`` packs what a bare machine lacks (`pack`);
there ``python3 -m benchmarks.gpu_check --kit FOLDER STAGE ...`` needs Python and torch, and no package index. Whatever
starts stages (`runner`, `stages`, `config`, `store`) is of the standard library alone; what they run is one module
each. ``docs/development.md`` says how to use it.
"""
