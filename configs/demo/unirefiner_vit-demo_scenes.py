# UniRefiner on the built-in scenes, for two CPU cores. It refines the iBOT of the demo:
#   mmdecouple train configs/demo/ibot_vit-demo_scenes.py --out work_dirs/ibot
#   mmdecouple train configs/demo/unirefiner_vit-demo_scenes.py --out work_dirs/unirefiner \
#       --cfg-options model.backbone.weights=work_dirs/ibot/epoch_6.pth
_base_ = [
    '../_base_/models/unirefiner_vit-demo.py',
    '../_base_/datasets/scenes_unirefiner.py',
    '../_base_/schedules/adamw_unirefiner_2e.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=16, dataset=dict(num_images=1280))
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=1))
