# Leopart's multi-crop (arXiv 2204.13101; MkuuWaUjinga/leopart src/leopart_transforms.py): two views of 224 px
# and four of 96 px, SimCLR's colours, no flips. There crops are drawn until all overlap the first two; here
# pairs without an overlap are left out of the loss.
_transforms = [
    dict(type="ColorJitter", brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8),
    dict(type="ToGray", p=0.2),
    dict(type="GaussianBlur", sigma_limit=(0.1, 2.0), blur_limit=0, p=0.5),
]
_ratio = (3 / 4, 4 / 3)
train_dataloader = dict(
    dataset=dict(
        views=[
            dict(
                type="ViewGroup",
                count=2,
                size=(224, 224),
                crop=dict(type="RandomResizedCrop", scale=(0.25, 1.0), ratio=_ratio),
                transforms=_transforms,
            ),
            dict(
                type="ViewGroup",
                count=4,
                size=(96, 96),
                crop=dict(type="RandomResizedCrop", scale=(0.05, 0.25), ratio=_ratio),
                transforms=_transforms,
            ),
        ]
    )
)
