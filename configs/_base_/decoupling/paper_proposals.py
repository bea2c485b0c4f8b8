# The de-coupling branch on proposals, and RCC instead of SoCo's own cutout:
#   _base_ = ['./the_base_config.py', '../_base_/decoupling/paper_proposals.py']
#   model = dict(decoupling=_base_.decoupling, data_preprocessor=dict(batch_stages=_base_.batch_stages))
# The paper does not state whether the cutout is kept; in its Table 6, RCC replaces it.
_base_ = ['./paper.py', './rcc_proposals.py']
decoupling = dict(mask_stride=16)
