# The schedule of iBOT's large networks: that of ViT-S with half of its learning rate (iBOT's ViT-L also has a lower one
# than its ViT-S), not tuned. The optimizer state is divided among the GPUs, and DDP keeps one copy of the gradients.
_base_ = './adamw_ibot_800e.py'
optim_wrapper = dict(optimizer=dict(lr=1e-3), sharded=True)
model_wrapper_cfg = dict(
    type='MMDistributedDataParallel',
    broadcast_buffers=False,
    find_unused_parameters=False,
    gradient_as_bucket_view=True,
)
