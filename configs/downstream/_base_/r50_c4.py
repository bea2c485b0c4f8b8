# The C4 detector of MoCo's detectron2 configs, on which all CNN methods are compared, laid over mmdet's C4 models.
c4 = dict(
    # Fills the backbone and conv5 in the shared head, where the stock VOC config has supervised weights and the stock
    # COCO config random ones. A key that does not fit ends the run.
    init_cfg=dict(type='mmdecouple.PretrainedBackbone', checkpoint=None),
    # RGB with ImageNet's statistics, as in pre-training; C4 pads a batch to its largest image only (mmdet: to 32).
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_size_divisor=1
    ),
    # Nothing is frozen; all batch norms are trained and synchronized. A single GPU has batch norms of its own images:
    # give it the total batch of 16.
    backbone=dict(
        frozen_stages=-1,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
        init_cfg=None,
    ),
    rpn_head=dict(type='mmdecouple.FloatRPNHead'),
    roi_head=dict(
        bbox_roi_extractor=dict(type='mmdecouple.FloatRoIExtractor'),
        # conv5 and one more norm after it.
        shared_head=dict(
            type='mmdecouple.ResLayerExtraNorm',
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            norm_eval=False,
            style='pytorch',
            init_cfg=None,
        ),
    ),
    # Every object has an anchor, and anchors that cross the border are trained (mmdet's mask C4 drops them).
    train_cfg=dict(rpn=dict(allowed_border=-1, assigner=dict(_delete_=True, type='mmdecouple.BestAnchorAssigner'))),
)
# Norms have no weight decay.
sgd = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)
