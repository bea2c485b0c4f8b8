# RCC as the mask of masked image modeling, with the ratios and boxes of the authors' code, for iBOT-RCC (Table 6) and
# the main rows of iBOT-D. Half of the views are not masked, as set by `model.mim_share`.
#   _base_ = ['./the_base_config.py', '../_base_/decoupling/rcc_mim.py']
#   model = dict(mim_mask=_base_.mim_mask)
mim_mask = dict(
    _delete_=True,
    type='RegionCollaborativeCutout',
    cut_ratio=(0.2, 0.6),
    grid=3,
    box_area=(0.12, 0.3),
    aspect=(0.5, 2.0),
    rule='release',
)
