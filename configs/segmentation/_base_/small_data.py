# Photos and masks of any kind, within 320x240 pixels. The folders only show the usual layout: the
# command sets them, and the classes, from its options.
crop_size = (192, 256)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(320, 240), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.9),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
# Masks are loaded after resizing: predictions are scored at the masks' own size.
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(320, 240), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="MaskFolderDataset",
        images="data/custom/images/train",
        masks="data/custom/masks/train",
        num_classes=2,
        ignore=(255,),
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,  # photos may be of different sizes
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="MaskFolderDataset",
        images="data/custom/images/test",
        masks="data/custom/masks/test",
        num_classes=2,
        ignore=(255,),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
