# PASCAL VOC 2012 segmentation with the additional annotations of Hariharan et al. (ICCV 2011): 10,582
# images to train on (train 1,464 and aug 9,118), 1,449 to test on (val). MMSegmentation's
# tools/dataset_converters/voc_aug.py writes SegmentationClassAug/ and aug.txt.
root = "data/VOCdevkit/VOC2012/"
crop_size = (512, 512)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
# Masks are loaded after resizing: predictions are scored at the masks' own size.
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(2048, 512), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(
                type="PascalVOCDataset",
                data_root=root,
                data_prefix=dict(img_path="JPEGImages", seg_map_path=masks),
                ann_file=f"ImageSets/Segmentation/{names}.txt",
                pipeline=train_pipeline,
            )
            for masks, names in (("SegmentationClass", "train"), ("SegmentationClassAug", "aug"))
        ],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="PascalVOCDataset",
        data_root=root,
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
        ann_file="ImageSets/Segmentation/val.txt",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
