_base_ = ['./densecl_r50_8xb32-800e_coco.py', '../_base_/decoupling/paper.py']
