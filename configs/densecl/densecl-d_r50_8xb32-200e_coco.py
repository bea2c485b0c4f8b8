_base_ = ['./densecl_r50_8xb32-200e_coco.py', '../_base_/decoupling/paper.py']
