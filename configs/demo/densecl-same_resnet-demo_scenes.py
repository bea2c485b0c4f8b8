_base_ = ['./densecl_resnet-demo_scenes.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
