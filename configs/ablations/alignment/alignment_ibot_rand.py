# Alignment of the base loss: iBOT/Rand (paper, Fig. 9, 200 epochs). Not yet run here. Written by `tools/ablate.py
# alignment --write-configs` from ../alignment.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-200e_coco.py']
model = dict(target_rank='random', type='MisalignedIBOT')
