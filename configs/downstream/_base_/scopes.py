# Listed before a stock base: mmengine resolves `mmdet::` but not `mmseg::`, and it reads bases in turn. So this serves
# `mim train` of mmdet and mmseg as well. A statement `import` would make it a lazy config, which has no such bases.
__import__('mmdecouple.utils.configs', fromlist=['_']).register_config_scopes()
