# Two views of 224 px as in MoCo v1 (He et al., arXiv 1911.05722; facebookresearch/moco main_moco.py): grey
# before the jitter, the jitter always and in hue as much as in the rest, no blur.
train_dataloader = dict(
    dataset=dict(
        views=[
            dict(
                type="ViewGroup",
                count=2,
                size=(224, 224),
                crop=dict(type="RandomResizedCrop", scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3)),
                transforms=[
                    dict(type="ToGray", p=0.2),
                    dict(
                        type="ColorJitter",
                        brightness=0.4,
                        contrast=0.4,
                        saturation=0.4,
                        hue=0.4,
                        p=1.0,
                    ),
                    dict(type="HorizontalFlip", p=0.5),
                ],
            )
        ]
    )
)
