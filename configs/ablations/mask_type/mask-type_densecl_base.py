# Mask type of the de-coupling branch: DenseCL/base (paper, Tables 4 (iBOT) and 10 (DenseCL), 200 epochs). Published:
# VOC AP 55, OKNN 67.5, CR inter 1.64, CR intra 0.31. Not yet run here. Written by `tools/ablate.py mask_type
# --write-configs` from ../mask_type.yml.
_base_ = ['../../densecl/densecl_r50_8xb32-200e_coco.py']
