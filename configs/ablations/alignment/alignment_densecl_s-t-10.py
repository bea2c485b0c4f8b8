# Alignment of the base loss: DenseCL/S-T@10 (paper, Fig. 9, 200 epochs). Not yet run here. Written by `tools/ablate.py
# alignment --write-configs` from ../alignment.yml.
_base_ = ['../../densecl/densecl_r50_8xb32-200e_coco.py']
model = dict(match_rank=10, type='MisalignedDenseCL')
