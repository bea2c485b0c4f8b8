# Schedules at equal views: iBOT/800 epochs (paper, Table 9). Published: box AP 42.3, mask AP 37, OKNN 75.2, OKNN-D
# 45.8, CR inter 1.43. Not yet run here. Written by `tools/ablate.py schedule --write-configs` from ../schedule.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-800e_coco.py']
