# Alignment of the base loss: iBOT/T@1 (paper, Fig. 9, 200 epochs). Published: OKNN 69.9, CR inter 1.8, CR intra 0.17.
# Not yet run here. Written by `tools/ablate.py alignment --write-configs` from ../alignment.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-200e_coco.py']
