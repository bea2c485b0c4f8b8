# iBOT on the built-in scenes with a whole ViT-Ti/8, twelve blocks instead of the demo's four:
#   python tools/train.py configs/demo/ibot_vit-ti8_scenes.py
# About three times the demo's time on a CPU. Not run to its end here.
_base_ = ['./ibot_vit-demo_scenes.py']
model = dict(backbone=dict(arch='deit-tiny'))
