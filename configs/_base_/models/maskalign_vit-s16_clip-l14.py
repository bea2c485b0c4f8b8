# maskalign_vit-s16.py taught by OpenAI's CLIP ViT-L/14: views of 196 pixels give its patches the student's grid of
# 14 x 14; its 24 blocks need the fusion for unequal depths.
_base_ = ['./maskalign_vit-s16.py']
model = dict(
    neck=dict(out_channels=1024, teacher_depth=24, fusion='sum'),
    teacher=dict(
        backbone=dict(arch='large', img_size=196, patch_size=14), input_size=196, checkpoint='data/teachers/ViT-L-14.pt'
    ),
)
