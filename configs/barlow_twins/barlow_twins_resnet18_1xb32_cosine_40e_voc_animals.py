"""Barlow Twins, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Zbontar et al., arXiv 2103.03230, at a small scale of our own.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain barlow_twins_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but the model: views, schedule and data are the same.
_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    target=None,
    objectives=[
        dict(
            type="BarlowTwins",
            off_diagonal_weight=0.0051,
            head=dict(
                type="MLPHead",
                hidden_channels=1024,
                out_channels=1024,
                num_layers=3,
                norm="BN",
            ),
        )
    ],
)
