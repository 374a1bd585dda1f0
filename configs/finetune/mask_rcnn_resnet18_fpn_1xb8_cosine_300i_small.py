_base_ = [
    "./_base_/small_mask_rcnn.py",
    "./_base_/small_data.py",
    "./_base_/small_schedule.py",
]

_base_.train_pipeline[1].with_mask = True
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
