# The built-in scenes at 64 pixels: 8 x 8 patches of 8 pixels for a small ViT.
_base_ = './scenes.py'
scenes = dict(size=64)
train_dataloader = dict(dataset=dict(scenes=scenes))
test_dataloader = dict(
    dataset=dict(size=64, objects=dict(scenes=scenes), bank=dict(scenes=scenes), singles=dict(scenes=scenes))
)
