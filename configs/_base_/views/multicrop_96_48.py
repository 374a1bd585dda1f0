# multicrop_224_96.py for small runs: two views of 96 px and four of 48 px, about as many pixels as
# three views of 96 px (2 + 4 / 4). Blur is scaled with the views, as in moco_v2_96.py, and the colour jitter is
# that recipe's, so that methods differ in as little else as possible.
_transforms = [
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
    dict(type="ToGray", p=0.2),
    dict(type="GaussianBlur", sigma_limit=(0.1, 0.9), blur_limit=0, p=0.5),
    dict(type="HorizontalFlip", p=0.5),
]
_ratio = (3 / 4, 4 / 3)
train_dataloader = dict(
    dataset=dict(
        views=[
            dict(
                type="ViewGroup",
                count=2,
                size=(96, 96),
                crop=dict(type="RandomResizedCrop", scale=(0.14, 1.0), ratio=_ratio),
                transforms=_transforms,
            ),
            dict(
                type="ViewGroup",
                count=4,
                size=(48, 48),
                crop=dict(type="RandomResizedCrop", scale=(0.05, 0.14), ratio=_ratio),
                transforms=_transforms,
            ),
        ]
    )
)
