"""BYOL with DetCon-B, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Hénaff et al., arXiv 2103.10957, at a small scale of our own.
Cost: 3,360 iterations of 32 images, after one pass over the data that segments them.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl regions detcon_b_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
    dense-cl pretrain detcon_b_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but the model and the regions: views, schedule and data are the same. At 96 px
# the last map has 3x3 cells, too few for regions; those of the stage before (6x6) are pooled, and BYOL
# trains the last one.
_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    target=dict(ema_decay=dict(kind="cosine", start=0.99, end=1.0), _delete_=True),
    objectives=[
        dict(
            type="BYOL",
            weight=0.5,
            head=dict(type="MLPHead", hidden_channels=512, out_channels=256, norm="BN"),
            predictor=dict(hidden_channels=512, norm="BN"),
        ),
        dict(
            type="DetConB",
            weight=0.5,
            stage=-2,
            temperature=0.1,
            num_regions=16,
            head=dict(type="MLPHead", hidden_channels=512, out_channels=256, norm="BN"),
            predictor=dict(hidden_channels=512, norm="BN"),
        ),
    ],
)
# The authors' 1,000 at 500 px, by area, at this set's 320 px.
train_dataloader = dict(
    dataset=dict(
        regions=dict(
            type="RegionCache",
            file="data/voc_animals/felzenszwalb.regions",
            provider=dict(type="Felzenszwalb", scale=400.0, min_size=400),
        )
    )
)
