# The runtime of the iBOT methods: the default one, and the head's last layer stands still for the first epoch.
_base_ = './default_runtime.py'
custom_hooks = _base_.custom_hooks + [dict(type='FreezeHook', keys=['last_layer'], epochs=1)]
