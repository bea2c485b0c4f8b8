# Gram anchoring (DINOv3, arXiv 2508.10104, section 4) with the weight of the paper. Any method of which the student
# returns its features takes the term:
#   _base_ = ['./the_base_config.py', '../_base_/posttraining/gram.py']
#   model = dict(terms=_base_.terms)
# The Gram teacher is the teacher at the start of the run: the published backbone, or the teacher of the checkpoint in
# `load_from`. The paper starts late in a long training that has already lost quality; here it begins with the training.
terms = [dict(type='GramAnchoring', weight=2.0)]
