# The de-coupling branch with the constants of the paper (section 4.1, App. E.2). A base config becomes its "-D" form by
#   _base_ = ['./the_base_config.py', '../_base_/decoupling/paper.py']
#   model = dict(decoupling=_base_.decoupling)
decoupling = dict(
    type='DecouplingBranch',
    mask=dict(type='RegionCollaborativeCutout', preset='paper'),
    loss_weight=0.3,
    weighting='convex',
    ratio=0.25,
    background='partner',
    foreground='uncut',
    alignment='point_to_point',
)
