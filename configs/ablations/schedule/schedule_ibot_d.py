# Schedules at equal views: iBOT/-D (paper, Table 9). Published: box AP 45.1, mask AP 39.1, OKNN 78.7, OKNN-D 52.1. Not
# yet run here. Written by `tools/ablate.py schedule --write-configs` from ../schedule.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-800e_coco.py']
