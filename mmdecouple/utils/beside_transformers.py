"""Makes `mmpretrain.models` importable beside transformers 5; imported for this effect, before `mmpretrain.models`.

If transformers is installed, mmpretrain imports vision-language models that need transformers 4, and fails with any
other version. This package uses none of them.
"""

from packaging.version import Version

from mmdecouple.utils.versions import installed_version

_FOUND = installed_version('transformers')
if _FOUND is not None and Version(_FOUND) >= Version('5.0.0.dev0'):
    import mmpretrain.utils.dependency

    mmpretrain.utils.dependency.WITH_MULTIMODAL = False
