# Mask ratio of the base method: iBOT/base (paper, Fig. 8, 200 epochs). Published: CR inter 1.8, OKNN 69.9. Not yet run
# here. Written by `tools/ablate.py mask_ratio --write-configs` from ../mask_ratio.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-200e_coco.py']
test_dataloader = dict(
    dataset=dict(measures=[
        dict(type='OKNN'),
        dict(type='InterCouplingRatio'),
        dict(removal='token', type='InterCouplingRatio'),
        dict(type='ContextShift'),
    ]))
