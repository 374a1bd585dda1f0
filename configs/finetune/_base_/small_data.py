# COCO-format labels of any data set, images at 256 pixels. The paths only show the usual layout:
# `dense-cl finetune` sets them, and the classes, from --train and --val.
size = (256, 256)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=False),
    dict(type="Resize", scale=size, keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
# Boxes and masks of the evaluation are read from the JSON, not from the pipeline.
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=size, keep_ratio=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="CocoDataset",
        ann_file="data/custom/annotations/train.json",
        data_prefix=dict(img="data/custom/images"),
        # An image without annotations need not be empty: it may only be unlabelled.
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        ann_file="data/custom/annotations/val.json",
        data_prefix=dict(img="data/custom/images"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(
    type="CocoMetric", ann_file="data/custom/annotations/val.json", metric=["bbox"]
)
test_dataloader = val_dataloader
test_evaluator = val_evaluator
