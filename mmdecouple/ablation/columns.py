"""The columns a table may show: what a paper's column is called and which measured figure stands beside it."""
from typing import NamedTuple


class Column(NamedTuple):
    """One column.

    Args:
        key: Key in the `metrics` of a measured report; None for a figure that only papers give.
        percent: Whether both are shown times 100 with one digit; published figures are written that way.
        lower: Whether lower means less coupled.
        best: The value of no coupling, where it may be missed on both sides; None elsewhere.
    """

    key: str | None
    percent: bool = False
    lower: bool = False
    best: int | None = None


COLUMNS = {
    'OKNN': Column('oknn_top1', percent=True),
    'OKNN top-5': Column('oknn_top5', percent=True),
    'OKNN-D': Column('oknn_d_top1', percent=True),
    'OKNN-D top-5': Column('oknn_d_top5', percent=True),
    'gap': Column('oknn_gap', percent=True, lower=True),
    'CR inter': Column('cr_inter_clean_median', best=1),
    'CR inter, mask token': Column('cr_inter_token_clean_median', best=1),
    'clamped': Column('cr_inter_clean_clamped_share', percent=True),
    'pull': Column('cr_inter_masked_dcos', best=0),
    'CR intra': Column('cr_intra_pixel', lower=True),
    'CR intra, cells': Column('cr_intra_cell', lower=True),
    'context shift': Column('context_shift', lower=True),
    'background leak': Column('background_leak', percent=True, lower=True),
    'LSC': Column('lsc_mean'),
    'box AP': Column(None),
    'mask AP': Column(None),
    'VOC AP': Column(None),
    'mIoU': Column(None),
}
