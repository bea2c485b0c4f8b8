# Must precede a base of mmdet or mmseg: mmengine resolves `mmdet::` but not `mmseg::`, and reads bases in order. This
# also works for `mim train` of mmdet and mmseg. An `import` statement would turn the file into a lazy config, which
# does not support such bases.
__import__('mmdecouple.utils.configs', fromlist=['_']).register_config_scopes()
