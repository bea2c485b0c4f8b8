# The control for "-D": the same loss on the same foreground positions, but X^D = X, that is, nothing is mixed in. The
# gain of "-D" over this control is due to the foreign background; the gain of the control over the base is due to the
# supervision of equal positions.
_base_ = ['./paper.py']
decoupling = dict(background='none')
