# NeCo on the built-in scenes, for two CPU cores: the base row of `make demo ARGS='--method neco'`, which starts it
# from the demo's iBOT.
_base_ = [
    '../_base_/models/neco_vit-demo.py',
    '../_base_/datasets/scenes_leopart.py',
    '../_base_/schedules/adamw_leopart_50e.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=32, dataset=dict(num_images=1280))
optim_wrapper = dict(precision='bf16', optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=4)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=2))
auto_scale_lr = dict(base_batch_size=32)
