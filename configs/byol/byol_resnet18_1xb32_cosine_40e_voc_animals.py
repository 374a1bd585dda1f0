"""BYOL, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Grill et al., arXiv 2006.07733, at a small scale of our own.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain byol_resnet18_1xb32_cosine_40e_voc_animals \
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
        )
    ],
)
# SGD, because with the AdamW of the other recipes features ended with less than half the dimensions
# of theirs (RankMe 17 after 20 epochs).
optim_wrapper = dict(
    optimizer=dict(type="SGD", lr=0.03, momentum=0.9, weight_decay=1e-4, _delete_=True)
)
