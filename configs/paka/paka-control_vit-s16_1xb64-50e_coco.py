# The control of PaKA-D, 50 epochs: the branch with nothing mixed in (X^D = X), that is, its loss at equal positions
# without a foreign background.
# Published: none.
# Not yet run here.
_base_ = ['./paka_vit-s16_1xb64-50e_coco.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
