# Mask type of the de-coupling branch: iBOT/RCC (paper, Tables 4 (iBOT) and 10 (DenseCL), 200 epochs). Published: box AP
# 42, OKNN 74.1, CR inter 1.16, CR intra 0.04. Not yet run here. Written by `tools/ablate.py mask_type --write-configs`
# from ../mask_type.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-200e_coco.py']
