"""PixPro, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Xie et al., arXiv 2011.10043, at a small scale of our own; on the last stage but one,
    because the last has 3 x 3 cells at 96 px (6 x 6 here). The last one learns from
    BYOL, the paper's instance branch.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain pixpro_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but the model: views, schedule and data are the same.
_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    target=dict(ema_decay=dict(kind="cosine", start=0.99, end=1.0), _delete_=True),
    objectives=[
        dict(
            type="BYOL",
            head=dict(type="MLPHead", hidden_channels=512, out_channels=256, norm="BN"),
            predictor=dict(hidden_channels=512, norm="BN"),
        ),
        dict(
            type="PixPro",
            head=dict(type="DenseMLPHead", hidden_channels=512, out_channels=256, norm="BN"),
            correspondence=dict(type="DistanceThreshold", threshold=0.7),
            power=2.0,
            transform_layers=1,
            stage=-2,
        ),
    ],
)
