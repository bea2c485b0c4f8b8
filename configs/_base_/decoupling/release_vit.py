# release.py, and what the authors' code does with patch tokens: the background comes from the other view and replaces
# patch embeddings, without a gradient. For methods whose student mixes embeddings (iBOT).
_base_ = ['./release.py']
decoupling = dict(partner_view='other', mixing='embedding')
