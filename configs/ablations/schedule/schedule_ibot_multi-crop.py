# Schedules at equal views: iBOT/multi-crop (paper, Table 9). Published: box AP 43.7, mask AP 38.1. Not yet run here.
# Written by `tools/ablate.py schedule --write-configs` from ../schedule.yml.
_base_ = ['../../ibot/ibot-mc_vit-s16_8x64-800e_coco.py']
