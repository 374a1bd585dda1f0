# Multi-crop of SwAV (Caron et al., arXiv 2006.09882): two views of 224 px and six of 96 px that show
# less of the photo. Augmentations as in facebookresearch/swav src/multicropdataset.py: SimCLR's, with
# the same blur in pixels at both sizes.
_transforms = [
    dict(type="HorizontalFlip", p=0.5),
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
                crop=dict(type="RandomResizedCrop", scale=(0.14, 1.0), ratio=_ratio),
                transforms=_transforms,
            ),
            dict(
                type="ViewGroup",
                count=6,
                size=(96, 96),
                crop=dict(type="RandomResizedCrop", scale=(0.05, 0.14), ratio=_ratio),
                transforms=_transforms,
            ),
        ]
    )
)
