# Two views of 224 px with SimCLR's colour jitter (Chen et al., arXiv 2002.05709, appendix A).
train_dataloader = dict(
    dataset=dict(
        views=[
            dict(
                type="ViewGroup",
                count=2,
                size=(224, 224),
                crop=dict(type="RandomResizedCrop", scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
                transforms=[
                    dict(type="HorizontalFlip", p=0.5),
                    dict(
                        type="ColorJitter",
                        brightness=0.8,
                        contrast=0.8,
                        saturation=0.8,
                        hue=0.2,
                        p=0.8,
                    ),
                    dict(type="ToGray", p=0.2),
                    dict(type="GaussianBlur", sigma_limit=(0.1, 2.0), blur_limit=0, p=0.5),
                ],
            )
        ]
    )
)
