"""Weight files: reading them without running code, the formats of all projects, and which tensor goes where.

Knows no model and no run; `models`, `engine`, `evaluation` and `downstream` read their weights here.
"""
