# Alignment in the de-coupling loss: iBOT/base (paper, Tables 5 (iBOT) and 11 (DenseCL), 200 epochs, rectangular
# foreground). Published: box AP 38.7, OKNN 69.9, CR inter 1.8, CR intra 0.17. Not yet run here. Written by
# `tools/ablate.py loss_type --write-configs` from ../loss_type.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-200e_coco.py']
