"""PixContrast, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Xie et al., arXiv 2011.10043, section 3.1, at a small scale of our own; on the last stage but one,
    because the last has 3 x 3 cells at 96 px (6 x 6 here). The last one learns from
    MoCo v2's contrast.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain pixcontrast_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but the model: views, schedule and data are the same.
_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    objectives=[
        *_base_.model.objectives,
        dict(
            type="PixContrast",
            temperature=0.3,
            head=dict(type="DenseMLPHead", hidden_channels=512, out_channels=256, norm="BN"),
            correspondence=dict(type="DistanceThreshold", threshold=0.7),
            stage=-2,
        ),
    ],
)
