"""Weight files: reading without running code, formats of all projects, and matching of tensors.

The package depends on neither models nor runs; `models`, `engine`, `evaluation` and `downstream` read weights with it.
"""
