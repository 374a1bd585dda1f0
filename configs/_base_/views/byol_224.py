# Two views of 224 px, augmented differently (Grill et al., arXiv 2006.07733, table 6): the first always
# blurred, the second rarely, and solarised instead. Barlow Twins, VICReg and MoCo v3 use them too.
_common = [
    dict(type="HorizontalFlip", p=0.5),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    dict(type="ToGray", p=0.2),
]
_crop = dict(type="RandomResizedCrop", scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
train_dataloader = dict(
    dataset=dict(
        views=[
            dict(
                type="ViewGroup",
                count=1,
                size=(224, 224),
                crop=_crop,
                transforms=[
                    *_common,
                    dict(type="GaussianBlur", sigma_limit=(0.1, 2.0), blur_limit=0, p=1.0),
                ],
            ),
            dict(
                type="ViewGroup",
                count=1,
                size=(224, 224),
                crop=_crop,
                transforms=[
                    *_common,
                    dict(type="GaussianBlur", sigma_limit=(0.1, 2.0), blur_limit=0, p=0.1),
                    dict(type="Solarize", threshold_range=(0.5, 0.5), p=0.2),
                ],
            ),
        ]
    )
)
