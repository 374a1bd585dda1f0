# COCO 2017, things and stuff; sizes as in coco_boxes.py.
_base_ = "mmdet::_base_/datasets/coco_panoptic.py"

_multi_scale = [(1333, side) for side in range(640, 801, 32)]
_base_.train_pipeline[2] = dict(type="RandomChoiceResize", scales=_multi_scale, keep_ratio=True)
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
