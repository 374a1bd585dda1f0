# COCO 2017, boxes; shorter side 640 to 800 pixels in training, 800 in testing, as MoCo and
# DenseCL fine-tune.
_base_ = "mmdet::_base_/datasets/coco_detection.py"

_multi_scale = [(1333, side) for side in range(640, 801, 32)]
_base_.train_pipeline[2] = dict(type="RandomChoiceResize", scales=_multi_scale, keep_ratio=True)
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
