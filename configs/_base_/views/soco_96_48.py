# soco_224_112.py at 96 and 48 px, for small runs; blur is scaled with the view (0.1-2.0 becomes 0.1-0.9).
_common = [
    dict(type="HorizontalFlip", p=0.5),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    dict(type="ToGray", p=0.2),
]
_second = [
    *_common,
    dict(type="GaussianBlur", sigma_limit=(0.1, 0.9), blur_limit=0, p=0.1),
    dict(type="Solarize", threshold_range=(0.5, 0.5), p=0.2),
]
_crop = dict(type="RandomResizedCrop", scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3))
train_dataloader = dict(
    dataset=dict(
        views=[
            dict(
                type="ViewGroup",
                count=1,
                size=(96, 96),
                crop=dict(type="WholeImage"),
                transforms=[
                    *_common,
                    dict(type="GaussianBlur", sigma_limit=(0.1, 0.9), blur_limit=0, p=1.0),
                ],
            ),
            dict(type="ViewGroup", count=1, size=(96, 96), crop=_crop, transforms=_second),
            dict(type="ViewGroup", count=1, size=(48, 48), crops_of=1, transforms=_second),
        ]
    )
)
