# The de-coupling branch with the constants of the authors' released iBOT-D code (`ztt1024/denseSSL`): smaller boxes,
# wider cut ratios, the base loss at full weight, and the cut cells as foreground for half of the decoupled views.
_base_ = ['./paper.py']
decoupling = dict(mask=dict(preset='release'), weighting='additive', ratio=0.5, foreground='half')
