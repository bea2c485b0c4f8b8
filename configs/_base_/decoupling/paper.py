# The de-coupling branch with the constants of the paper (section 4.1, App. E.2): inherit this file beside a base
# config, and the method becomes its "-D" form.
model = dict(
    decoupling=dict(
        type='DecouplingBranch',
        mask=dict(type='RegionCollaborativeCutout', preset='paper'),
        loss_weight=0.3,
        weighting='convex',
        ratio=0.25,
        background='partner',
        foreground='uncut',
        alignment='point_to_point'))
