"""MoCo v3, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Chen et al., arXiv 2104.02057, at a small scale of our own.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain moco_v3_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but the model: views, schedule and data are the same.
_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    target=dict(ema_decay=dict(kind="cosine", start=0.99, end=1.0), _delete_=True),
    objectives=[
        dict(
            type="MoCoV3",
            temperature=0.2,
            head=dict(
                type="MLPHead", hidden_channels=512, out_channels=256, norm="BN", norm_last=True
            ),
            predictor=dict(hidden_channels=512, norm="BN"),
        )
    ],
)
