# Runner, hooks and logging of every pre-training run.
default_scope = 'mmdecouple'
runner_type = 'PretrainRunner'

# Without a seed, the run draws one, logs it and stores it in its checkpoints.
randomness = dict(seed=None)
env_cfg = dict(
    cudnn_benchmark=True, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl')
)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    sampler_seed=None,
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='DurableCheckpointHook', interval=10, max_keep_ckpts=3),
)
# Additional hooks only: the runner registers the hooks that every run has (engine/own_hooks.py).
custom_hooks = []

vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)
log_processor = dict(window_size=50)
log_level = 'INFO'

load_from = None
resume = False
# Whether checkpoints may be unpickled without restrictions; only for files from a trusted source.
allow_pickle_checkpoint = False
# Whether a resume may have another number of processes, with the same batch of all processes (--elastic).
elastic = False
# Whether color, blur and solarization of the views are applied on the device instead of by the data loader.
device_photometric = False
# Whether the device also crops, resizes and flips: the data loader decodes and makes the draws.
device_views = False
