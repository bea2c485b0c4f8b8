# release.py with the treatment of patch tokens in the authors' code: the background is taken from the other view and
# replaces patch embeddings, without a gradient. For methods whose student mixes embeddings (iBOT).
_base_ = ['./release.py']
decoupling = dict(partner_view='other', mixing='embedding')
