# MaskAlign on COCO train2017, 800 epochs, taught by CLIP ViT-B/16: the base row of the paper's main tables.
# Published: COCO box AP 45.6 / 65.2 / 49.7, mask AP 39.6 / 62.0 / 42.4, ADE20K mIoU 43.7, OKNN top-1 77.4, OKNN-D 53.8.
# Not yet run here. The paper's hardware: 10 h on 8 x RTX 3090 (Table 8).
# The paper states neither the teacher nor whether lr 3e-4 is per 256 images; this config has the official default (CLIP
# ViT-B/16, last five levels, whitened) and 3e-4 per 256. Other teachers: maskalign_vit-s16_clip-l14.py and
# ..._dino-b16.py in _base_/models/.
_base_ = [
    '../_base_/models/maskalign_vit-s16.py',
    '../_base_/datasets/coco_maskalign.py',
    '../_base_/schedules/adamw_maskalign_800e.py',
    '../_base_/default_runtime.py',
]
