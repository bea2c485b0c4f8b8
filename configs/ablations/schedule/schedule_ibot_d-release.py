# Schedules at equal views: iBOT/-D, release (paper, Table 9). Not yet run here. Written by `tools/ablate.py schedule
# --write-configs` from ../schedule.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-800e_coco_release.py']
