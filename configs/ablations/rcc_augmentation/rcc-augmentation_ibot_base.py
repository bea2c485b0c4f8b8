# RCC as an augmentation alone: iBOT/base (paper, Table 6, 800 epochs). Published: box AP 42.3, mask AP 37, OKNN 75.2,
# CR inter 1.43. Not yet run here. Written by `tools/ablate.py rcc_augmentation --write-configs` from
# ../rcc_augmentation.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-800e_coco.py']
