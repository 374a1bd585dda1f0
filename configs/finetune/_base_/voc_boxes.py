# PASCAL VOC, trainval 2007 + 2012 to test 2007, as COCO JSON (docs/finetuning.md says how to get
# them); shorter side 480 to 800 pixels in training, 800 in testing, as MoCo fine-tunes.
_base_ = "./coco_boxes.py"

_base_.train_pipeline[2].scales = [(1333, side) for side in range(480, 801, 32)]
train_dataloader = dict(
    sampler=dict(type="InfiniteSampler"),
    dataset=dict(
        data_root="data/VOCdevkit/",
        ann_file="annotations/voc0712_trainval.json",
        data_prefix=dict(img=""),
        pipeline=_base_.train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root="data/VOCdevkit/",
        ann_file="annotations/voc07_test.json",
        data_prefix=dict(img=""),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file="data/VOCdevkit/annotations/voc07_test.json")
test_evaluator = val_evaluator
