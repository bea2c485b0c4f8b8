# ReSim-C4 with RCC as an augmentation of the query view, without the branch, in cells of 16 pixels.
# Published: none. Not yet run here.
_base_ = ['./resim-c4_r50_8xb32-800e_coco.py', '../_base_/decoupling/rcc.py']
model = dict(data_preprocessor=dict(batch_stages=[dict(_base_.batch_stages[0], mask_stride=16)]))
