# Visible tokens without a foreign background: iBOT/-D (paper, Table 4 (base and -D), 200 epochs; the other rows are
# ours). Published: box AP 42, OKNN 74.1, CR inter 1.16, CR intra 0.04. Not yet run here. Written by `tools/ablate.py
# visible_tokens --write-configs` from ../visible_tokens.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-200e_coco.py']
