"""Entry points of `torch.hub`.

    torch.hub.load('path/to/mmdecouple', 'backbone', weights='work_dirs/run', source='local')
    torch.hub.load('path/to/mmdecouple', 'vit_small_patch16', source='local')

Each returns a module that maps RGB images in [0, 1], float32 (B, 3, H, W), to named feature maps, see
`mmdecouple.export.features.Features`; its attribute `backbone` is the network without normalization, for fine-tuning.
"""

dependencies = ['torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain', 'timm', 'safetensors', 'cv2', 'rich']
# Entry point -> config of its backbone.
_CONFIGS = {
    f'vit_{name}_patch16': dict(type='mmdecouple.DenseViT', arch=arch, img_size=224, patch_size=16)
    for name, arch in (('tiny', 'deit-tiny'), ('small', 'deit-small'), ('base', 'base'), ('large', 'large'))
} | {f'resnet{depth}': dict(type='mmpretrain.ResNet', depth=depth) for depth in (18, 34, 50, 101, 152)}


def backbone(weights, role=None):
    """Returns the backbone of a run folder, checkpoint, or weight file of a published network.

    Args:
        weights: Any specification of `mmdecouple.networks.network.open_network`.
        role: `teacher` or `student`, if the file holds both; None for the one that the authors of the method transfer.
    """
    from mmdecouple.export.features import Features
    from mmdecouple.export.sources import open_source, read_source

    network, _ = open_source(str(weights), read_source(str(weights)), role)
    return Features(network).requires_grad_(True)


def _entry_point(name):
    def build(weights=None, role=None):
        from mmdecouple.export.features import Features
        from mmdecouple.models.backbones import measured_stride
        from mmdecouple.networks.foreign import ForeignNetwork
        from mmdecouple.networks.network import Network, initialize
        from mmdecouple.registry import MODELS
        from mmdecouple.runs.startup import prepare_process
        from mmdecouple.utils.errors import UserError

        prepare_process()
        plain = MODELS.build(_CONFIGS[name])
        if weights is None:
            initialize(plain)
            return Features(Network(name, ForeignNetwork(plain), measured_stride(plain))).eval()
        found = backbone(weights, role)
        if _shapes(found.backbone) != _shapes(plain):
            raise UserError(f'{weights} holds another architecture than {name}; use the entry point backbone.')
        return found

    build.__name__ = name
    build.__doc__ = f"""Returns {name} of mmdecouple.

    Args:
        weights: Weights as in `backbone`, of this architecture; None for random weights.
        role: See `backbone`.

    Raises:
        UserError: The weights belong to another architecture.
    """
    return build


def _shapes(module):
    """Returns the shapes that an architecture determines: those of positions depend on the size of the views."""
    state = module.state_dict().items()
    return {name: value.shape for name, value in state if name not in ('pos_embed', 'mask_token')}


globals().update({name: _entry_point(name) for name in _CONFIGS})
