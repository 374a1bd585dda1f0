# Two views of 224 px by the recipe of MoCo v2 (Chen et al., 2020, arXiv:2003.04297), which
# DenseCL (Wang et al., CVPR 2021) uses unchanged.
#
# The order is that of the authors' code. ColorJitter applies brightness, contrast, saturation and
# hue in random order, as torchvision's does. GaussianBlur's sigma is in pixels of the view and
# its kernel reaches 3.5 sigma, as Pillow's radius does; blur_limit=0 ties the kernel to sigma.
train_dataloader = dict(
    dataset=dict(
        views=[
            dict(
                type="ViewGroup",
                count=2,
                size=(224, 224),
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
                    dict(type="GaussianBlur", sigma_limit=(0.1, 2.0), blur_limit=0, p=0.5),
                    dict(type="HorizontalFlip", p=0.5),
                ],
            )
        ]
    )
)
