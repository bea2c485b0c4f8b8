# UniRefiner on photographs of 128 pixels, shown whole at 96 pixels. It refines the iBOT of `ibot_vit-ti16_photographs`
# and is a row of the ablation table `evidence_photographs`. One epoch is 680 steps; the authors take about as many.
#   mmdecouple train configs/photographs/ibot_vit-ti16_photographs.py --out work_dirs/ibot
#   mmdecouple train configs/photographs/unirefiner_vit-ti16_photographs.py --out work_dirs/unirefiner \
#       --cfg-options model.backbone.weights=work_dirs/ibot/epoch_4.pth
_base_ = [
    '../_base_/models/unirefiner_vit-s16.py',
    '../_base_/datasets/photographs_unirefiner.py',
    '../_base_/schedules/adamw_unirefiner_2e.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(arch='deit-tiny', img_size=96, weights=None))
train_dataloader = dict(batch_size=16)
train_cfg = dict(max_epochs=1)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=1))
