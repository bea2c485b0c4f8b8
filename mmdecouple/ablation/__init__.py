"""Ablation tables: a small YAML becomes runs, figures, rows beside the paper's column, and configs."""

from .table import Row, Table
from .yaml_table import read_table, table_names

__all__ = ['Row', 'Table', 'read_table', 'table_names']
