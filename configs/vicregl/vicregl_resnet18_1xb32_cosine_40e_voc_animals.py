"""VICRegL, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Bardes et al., arXiv 2210.01571, at a small scale of our own; on the last stage but one, because
    the last has 3 x 3 cells at 96 px (6 x 6 here). The last one learns from the global criterion.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain vicregl_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but the model: views, schedule and data are the same.
_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    target=None,
    objectives=[
        dict(
            type="VICReg",
            weight=0.75,
            covariance_weight=0.5,
            head=dict(
                type="MLPHead",
                hidden_channels=1024,
                out_channels=1024,
                num_layers=3,
                norm="BN",
            ),
        ),
        dict(
            type="VICRegL",
            weight=0.25,
            feature_matches=(20, 4),
            location_matches=(20, 4),
            stage=-2,
            head=dict(
                type="DenseMLPHead",
                hidden_channels=256,
                out_channels=256,
                num_layers=3,
                norm="BN",
            ),
        ),
    ],
)
