# The control for "-D": the same loss on the same foreground positions, but X^D = X, nothing is mixed in. What "-D"
# gains beyond this row is due to the foreign background; the rest is due to supervising same positions.
_base_ = ['./paper.py']
decoupling = dict(background='none')
