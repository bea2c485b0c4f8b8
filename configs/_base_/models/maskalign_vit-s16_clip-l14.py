# maskalign_vit-s16.py with OpenAI's CLIP ViT-L/14 as teacher. Views of 196 pixels give it the 14 x 14 grid of the
# student, and its 24 blocks require the fusion for unequal depths.
_base_ = ['./maskalign_vit-s16.py']
model = dict(
    neck=dict(out_channels=1024, teacher_depth=24, fusion='sum'),
    teacher=dict(
        backbone=dict(arch='large', img_size=196, patch_size=14), input_size=196, checkpoint='data/teachers/ViT-L-14.pt'
    ),
)
