# iBOT on photographs of 128 pixels, for one CPU core: a ViT-Ti/16 on views of 96 pixels, 6 x 6 patches. One of the
# base methods of the ablation table `evidence_photographs`; the photographs are the images below data/photos.
#   mmdecouple train configs/photographs/ibot_vit-ti16_photographs.py
# Other photographs: --cfg-options train_dataloader.dataset.data_root=PATH
_base_ = ['../_base_/models/ibot_vit-demo.py', '../_base_/datasets/photographs_ibot.py', '../_base_/default_runtime.py']
model = dict(backbone=dict(arch='deit-tiny', img_size=96, patch_size=16), neck=dict(out_channels=1024))
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='bf16',
    constructor='DecayGroupsConstructor',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.04),
    clip_grad=dict(type='tensor', max_norm=3.0),
)
param_scheduler = [dict(type='WarmupCosineLR', warmup=0.5, eta_min=1e-6, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=4)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=1))
