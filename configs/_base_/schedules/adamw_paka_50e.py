# The schedule of Leopart for PaKA, which has no head to learn faster than the backbone. That of the paper is not known
# here.
_base_ = './adamw_leopart_50e.py'
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))
