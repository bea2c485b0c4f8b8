"""Where published weights of backbones are downloaded, by the name of their file."""

import re
from pathlib import Path

_META = 'https://dl.fbaipublicfiles.com'
_ORIGINS = (
    (r'(dinov2_vit[sblg]14)(_reg4)?_pretrain\.pth', rf'{_META}/dinov2/\1/\1\2_pretrain.pth'),
    (r'(dino_(deitsmall|vitbase)(8|16))_pretrain\.pth', rf'{_META}/dino/\1_pretrain/\1_pretrain.pth'),
    (r'dinov3_\w+_pretrain_.*\.pth', 'https://ai.meta.com/dinov3 (after its licence is accepted)'),
)


def origin_of(path: str) -> str:
    """Returns ` from ADDRESS` for a file with the name of published weights, and an empty string for any other."""
    name = Path(path).name
    found = (match.expand(address) for pattern, address in _ORIGINS if (match := re.fullmatch(pattern, name)))
    return next((f' from {address}' for address in found), '')
