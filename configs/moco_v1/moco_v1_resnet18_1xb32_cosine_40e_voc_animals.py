"""MoCo v1, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: He et al., arXiv 1911.05722, at a small scale of our own.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain moco_v1_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but head and temperature: views, schedule and data are the same.
_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    objectives=[
        dict(
            type="InfoNCE",
            queue_size=128,
            temperature=0.07,
            head=dict(type="MLPHead", out_channels=128, num_layers=1),
        )
    ]
)
