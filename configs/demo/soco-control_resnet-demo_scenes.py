# The control of `make demo ARGS='--method soco'`: the branch of SoCo-D with nothing mixed in (X^D = X).
_base_ = ['./soco-d_resnet-demo_scenes.py']
model = dict(decoupling=dict(background='none'))
