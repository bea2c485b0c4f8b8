# The de-coupling branch with the constants of the authors' released iBOT-D code (`ztt1024/denseSSL`): smaller boxes,
# wider cut ratios, the base loss at full weight, and the cut cells as foreground for half of the decoupled views.
# Half of the masks of their code are empty and are never used; `cut_ratio` is the range of the other half. The rule
# `release` places the cuts cell for cell as their code does.
_base_ = ['./paper.py']
decoupling = dict(
    mask=dict(cut_ratio=(0.2, 0.6), grid=3, box_area=(0.12, 0.3), aspect=(0.5, 2.0), rule='release'),
    weighting='additive',
    ratio=0.5,
    foreground='half',
)
