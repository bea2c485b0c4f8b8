# iBOT with a teacher of which only the head is averaged (TIPSv2), 200 epochs: its backbone is the student's.
# Published: none for iBOT alone; TIPSv2 trains with a loss on captions as well, which keeps features from collapsing.
# Not yet run here. As ibot, a quarter of 24 h on 8 x RTX 3090.
_base_ = ['./ibot_vit-s16_8x64-200e_coco.py']
model = dict(teacher=dict(averaged=('neck',)))
