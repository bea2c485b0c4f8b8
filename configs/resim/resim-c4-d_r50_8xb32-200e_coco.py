# ReSim-C4-D on COCO train2017, 200 epochs: the branch on the positions of conv4's projected map.
# Published: none; the paper has no de-coupled variant of ReSim. Not yet run here.
_base_ = ['./resim-c4_r50_8xb32-200e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
