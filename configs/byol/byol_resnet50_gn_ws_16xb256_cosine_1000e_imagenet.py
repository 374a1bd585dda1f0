"""BYOL without batch statistics, ResNet-50 with GroupNorm and standardised weights, 1000 epochs of ImageNet-1k.

Paper: Richemond et al., BYOL works even without batch statistics, arXiv 2010.10241. Optimiser, schedule and
groups (32) are those of our BYOL recipe and of GroupNorm's paper, since we have not looked up the report's.
The linear layers of the heads are standardised too: otherwise all projections begin nearly equal.
Cost: 16 processes x 256 images; nothing is exchanged between processes but gradients.
Expected: 73.9 % linear top-1 (the report's abstract). Not run by us.

    bash tools/dist_train.sh byol_resnet50_gn_ws_16xb256_cosine_1000e_imagenet 16 --data IMAGENET/train
"""

_base_ = "byol_resnet50_16xb256_cosine_1000e_imagenet.py"
model = dict(
    backbone=dict(norm="GN", standardize_weights=True),
    objectives=[
        dict(
            type="BYOL",
            head=dict(
                type="MLPHead",
                hidden_channels=4096,
                out_channels=256,
                norm="GN",
                standardize_weights=True,
            ),
            predictor=dict(hidden_channels=4096, norm="GN", standardize_weights=True),
        )
    ],
)
