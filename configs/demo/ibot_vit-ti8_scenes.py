# iBOT on the built-in scenes with a full ViT-Ti/8 of twelve blocks, where the demo has four:
#   python tools/train.py configs/demo/ibot_vit-ti8_scenes.py
# It takes about three times as long as the demo on a CPU. Not run to its end here.
_base_ = ['./ibot_vit-demo_scenes.py']
model = dict(backbone=dict(arch='deit-tiny'))
