# Views of SoCo (Wei et al., arXiv 2106.02637; augmentations of hologerry/SoCo contrast/data/transform.py): the
# whole image, a crop of at least half of it, and that crop again at 112 px; augmented as BYOL's two views, the
# small one as the second. In the authors' code the small view is a crop of its own, and the script of the
# FPN model also blacks out a part of some boxes; neither is done here.
_common = [
    dict(type="HorizontalFlip", p=0.5),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    dict(type="ToGray", p=0.2),
]
_second = [
    *_common,
    dict(type="GaussianBlur", sigma_limit=(0.1, 2.0), blur_limit=0, p=0.1),
    dict(type="Solarize", threshold_range=(0.5, 0.5), p=0.2),
]
_crop = dict(type="RandomResizedCrop", scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3))
train_dataloader = dict(
    dataset=dict(
        views=[
            dict(
                type="ViewGroup",
                count=1,
                size=(224, 224),
                crop=dict(type="WholeImage"),
                transforms=[
                    *_common,
                    dict(type="GaussianBlur", sigma_limit=(0.1, 2.0), blur_limit=0, p=1.0),
                ],
            ),
            dict(type="ViewGroup", count=1, size=(224, 224), crop=_crop, transforms=_second),
            dict(type="ViewGroup", count=1, size=(112, 112), crops_of=1, transforms=_second),
        ]
    )
)
