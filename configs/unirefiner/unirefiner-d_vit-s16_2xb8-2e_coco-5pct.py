# UniRefiner-D: refinement with the de-coupling branch, whose student sees foreign content inside the image.
# Published: none; the combination is of this package.
# Not yet run here.
_base_ = ['./unirefiner_vit-s16_2xb8-2e_coco-5pct.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
