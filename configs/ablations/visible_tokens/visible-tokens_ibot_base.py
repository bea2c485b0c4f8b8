# Visible tokens without a foreign background: iBOT/base (paper, Table 4 (base and -D), 200 epochs; the other rows are
# ours). Published: box AP 38.7, OKNN 69.9, CR inter 1.8, CR intra 0.17. Not yet run here. Written by `tools/ablate.py
# visible_tokens --write-configs` from ../visible_tokens.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-200e_coco.py']
