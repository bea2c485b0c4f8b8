# Mask type of the de-coupling branch: iBOT/base (paper, Tables 4 (iBOT) and 10 (DenseCL), 200 epochs). Published: box
# AP 38.7, OKNN 69.9, CR inter 1.8, CR intra 0.17. Not yet run here. Written by `tools/ablate.py mask_type
# --write-configs` from ../mask_type.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-200e_coco.py']
