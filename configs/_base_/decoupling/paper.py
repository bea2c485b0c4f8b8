# The de-coupling branch with the constants of the paper (section 4.1, App. E.2). A base config becomes its "-D" form by
#   _base_ = ['./the_base_config.py', '../_base_/decoupling/paper.py']
#   model = dict(decoupling=_base_.decoupling)
# The paper prints the range of box areas as "(0.15, 4)" of the view; it is read as 0.15 to 0.4.
decoupling = dict(
    type='DecouplingBranch',
    mask=dict(
        type='RegionCollaborativeCutout',
        cut_ratio=(0.3, 0.5),
        grid=3,
        box_area=(0.15, 0.4),
        aspect=(0.5, 2.0),
        rule='area',
    ),
    loss_weight=0.3,
    weighting='convex',
    ratio=0.25,
    background='partner',
    foreground='uncut',
    alignment='point_to_point',
)
