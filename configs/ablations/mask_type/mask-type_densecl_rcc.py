# Mask type of the de-coupling branch: DenseCL/RCC (paper, Tables 4 (iBOT) and 10 (DenseCL), 200 epochs). Published: VOC
# AP 55.9, OKNN 70, CR inter 1.18, CR intra 0.12. Not yet run here. Written by `tools/ablate.py mask_type
# --write-configs` from ../mask_type.yml.
_base_ = ['../../densecl/densecl-d_r50_8xb32-200e_coco.py']
