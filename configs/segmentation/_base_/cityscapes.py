# Cityscapes, the 2,975 finely annotated training images to the 500 of validation, crops of 769 pixels.
# Masks are *_gtFine_labelTrainIds.png, which MMSegmentation's tools/dataset_converters/cityscapes.py
# writes beside the others.
_base_ = "./voc_aug.py"

_base_.train_pipeline[2].scale = (2049, 1025)
_base_.train_pipeline[3].crop_size = (769, 769)
_base_.test_pipeline[1].scale = (2049, 1025)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        _delete_=True,
        type="CityscapesDataset",
        data_root="data/cityscapes/",
        data_prefix=dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train"),
        pipeline=_base_.train_pipeline,
    ),
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="CityscapesDataset",
        data_root="data/cityscapes/",
        data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val"),
        test_mode=True,
        pipeline=_base_.test_pipeline,
    )
)
