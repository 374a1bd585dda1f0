# ADE20K (ADEChallengeData2016), 20,210 images to train on and 2,000 to test on, 150 classes; 0 is void.
_base_ = "./voc_aug.py"

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="ADE20KDataset",
        data_root="data/ade/ADEChallengeData2016/",
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=_base_.train_pipeline,
    )
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="ADE20KDataset",
        data_root="data/ade/ADEChallengeData2016/",
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        test_mode=True,
        pipeline=_base_.test_pipeline,
    )
)
