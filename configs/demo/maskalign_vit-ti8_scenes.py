# MaskAlign on the built-in scenes with full ViT-Ti/8s; the teacher is a run of ibot_vit-ti8_scenes.py:
#   python tools/train.py configs/demo/maskalign_vit-ti8_scenes.py
# Not run to its end here.
_base_ = ['./maskalign_vit-demo_scenes.py']
model = dict(
    backbone=dict(arch='deit-tiny'),
    neck=dict(student_depth=12, teacher_depth=12, levels=5),
    teacher=dict(backbone=dict(arch='deit-tiny'), checkpoint='work_dirs/ibot_vit-ti8_scenes/epoch_6.pth'),
)
