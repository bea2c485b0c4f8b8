# The C4 detector of MoCo's detectron2 configs, on which all CNN methods are compared, as an overlay of mmdet's C4
# models.
c4 = dict(
    # Loads the backbone, and conv5 into the shared head, for which mmdet's VOC config has supervised weights and its
    # COCO config random ones. A key that does not match raises an error.
    init_cfg=dict(type='mmdecouple.PretrainedBackbone', checkpoint=None),
    # RGB with the statistics of ImageNet, as in pre-training. A batch is padded to its largest image (mmdet: to
    # multiples of 32).
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_size_divisor=1
    ),
    # No layer is frozen, and all batch norms are trained and synchronized. On a single GPU, use the total batch of 16.
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
        # conv5 followed by an additional norm.
        shared_head=dict(
            type='mmdecouple.ResLayerExtraNorm',
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            norm_eval=False,
            style='pytorch',
            init_cfg=None,
        ),
    ),
    # Every object gets an anchor, and anchors across the border of the image are trained (mmdet's mask C4 drops them).
    train_cfg=dict(rpn=dict(allowed_border=-1, assigner=dict(_delete_=True, type='mmdecouple.BestAnchorAssigner'))),
)
# No weight decay for norms.
sgd = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)
