# Visible tokens without a foreign background: iBOT/all tokens, equal views (paper, Table 4 (base and -D), 200 epochs;
# the other rows are ours). Not yet run here. Written by `tools/ablate.py visible_tokens --write-configs` from
# ../visible_tokens.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-200e_coco.py']
model = dict(visible_weight=1.0)
train_cfg = dict(max_epochs=225)
