# RCC as an augmentation alone: SoCo/base (paper, Table 6, 800 epochs). Published: box AP 38.5, mask AP 33.4, OKNN 73.5,
# CR inter 1.15. Not yet run here. Written by `tools/ablate.py rcc_augmentation --write-configs` from
# ../rcc_augmentation.yml.
_base_ = ['../../soco/soco-c4_r50_8xb128-800e_coco.py']
