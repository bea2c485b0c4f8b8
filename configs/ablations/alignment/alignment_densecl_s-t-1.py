# Alignment of the base loss: DenseCL/S-T@1 (paper, Fig. 9, 200 epochs). Published: OKNN 67.5, CR inter 1.64, CR intra
# 0.31. Not yet run here. Written by `tools/ablate.py alignment --write-configs` from ../alignment.yml.
_base_ = ['../../densecl/densecl_r50_8xb32-200e_coco.py']
