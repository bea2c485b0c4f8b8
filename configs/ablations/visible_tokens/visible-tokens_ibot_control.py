# Visible tokens without a foreign background: iBOT/control (paper, Table 4 (base and -D), 200 epochs; the other rows
# are ours). Not yet run here. Written by `tools/ablate.py visible_tokens --write-configs` from ../visible_tokens.yml.
_base_ = ['../../ibot/ibot-control_vit-s16_8x64-200e_coco.py']
