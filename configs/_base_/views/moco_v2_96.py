# The recipe of moco_v2_224.py at 96 px, for small runs. Blur is scaled with the view: the same
# sigma in pixels would wipe out 96-pixel views (224 / 96 = 2.3, so sigma 0.1-2.0 becomes 0.1-0.9).
train_dataloader = dict(
    dataset=dict(
        views=[
            dict(
                type="ViewGroup",
                count=2,
                size=(96, 96),
                crop=dict(type="RandomResizedCrop", scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3)),
                transforms=[
                    dict(
                        type="ColorJitter",
                        brightness=0.4,
                        contrast=0.4,
                        saturation=0.4,
                        hue=0.1,
                        p=0.8,
                    ),
                    dict(type="ToGray", p=0.2),
                    dict(type="GaussianBlur", sigma_limit=(0.1, 0.9), blur_limit=0, p=0.5),
                    dict(type="HorizontalFlip", p=0.5),
                ],
            )
        ]
    )
)
