# Mask ratio of the base method: iBOT/ratio=0.5 (paper, Fig. 8, 200 epochs). Not yet run here. Written by
# `tools/ablate.py mask_ratio --write-configs` from ../mask_ratio.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-200e_coco.py']
model = dict(mim_mask=dict(cut_ratio=0.5), mim_share=1.0)
test_dataloader = dict(
    dataset=dict(measures=[
        dict(type='OKNN'),
        dict(type='InterCouplingRatio'),
        dict(removal='token', type='InterCouplingRatio'),
        dict(type='ContextShift'),
    ]))
