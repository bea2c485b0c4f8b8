# Alignment in the de-coupling loss: DenseCL/base (paper, Tables 5 (iBOT) and 11 (DenseCL), 200 epochs, rectangular
# foreground). Published: VOC AP 55, OKNN 67.5, CR inter 1.64, CR intra 0.31. Not yet run here. Written by
# `tools/ablate.py loss_type --write-configs` from ../loss_type.yml.
_base_ = ['../../densecl/densecl_r50_8xb32-200e_coco.py']
