"""Ablation tables: a YAML file defines runs, configs, measured rows beside published values, and figures."""

from .table import Row, Table
from .yaml_table import read_table, table_names

__all__ = ['Row', 'Table', 'read_table', 'table_names']
