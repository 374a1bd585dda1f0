# ORL (Jiahao000/ORL, configs/selfsup/orl/coco/stage3/r50_bs512_ep800.py): BYOL's two views of 224 px, and
# patches of 96 px augmented as these are, the first of a pair always blurred, the second rarely.
_base_ = "byol_224.py"
_patch_common = [
    dict(type="HorizontalFlip", p=0.5),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    dict(type="ToGray", p=0.2),
]
train_dataloader = dict(
    dataset=dict(
        patches=[
            dict(
                type="PatchGroup",
                size=(96, 96),
                transforms=[
                    *_patch_common,
                    dict(type="GaussianBlur", sigma_limit=(0.1, 2.0), blur_limit=0, p=1.0),
                ],
            ),
            dict(
                type="PatchGroup",
                size=(96, 96),
                transforms=[
                    *_patch_common,
                    dict(type="GaussianBlur", sigma_limit=(0.1, 2.0), blur_limit=0, p=0.1),
                    dict(type="Solarize", threshold_range=(0.5, 0.5), p=0.2),
                ],
            ),
        ]
    )
)
