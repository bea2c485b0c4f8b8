"""Figures of masks, batches, affinity and coupling, and the report that contains them."""

from .report import Exhibit, write_report
from .runs import Run
from .style import run_styles

__all__ = ['Exhibit', 'Run', 'run_styles', 'write_report']
