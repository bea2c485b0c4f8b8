# DenseCL-D on photographs; the base is described in `densecl_r18_photographs.py`.
_base_ = ['./densecl_r18_photographs.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
