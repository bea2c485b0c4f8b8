# ReSim-FPN-D on COCO train2017, 800 epochs: the branch on the positions of conv4's projected map.
# Published: none; the paper has no de-coupled variant of ReSim. Not yet run here.
_base_ = ['./resim-fpn_r50_8xb32-800e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
