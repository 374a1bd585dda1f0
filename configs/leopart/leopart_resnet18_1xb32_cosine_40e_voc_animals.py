"""BYOL with Leopart-style clustering, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Ziegler and Asano, arXiv 2204.13101, at a small scale of our own, from random weights.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain leopart_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but the model: views, schedule and data are the same. At 96 px the last map has
# 3x3 cells, too few to cluster; those of the stage before (6x6) are, and BYOL trains the last one. A batch
# has 1,152 cells per view, enough for 100 prototypes without a queue.
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
            type="Leopart",
            weight=0.5,
            stage=-2,
            num_prototypes=100,
            temperature=0.1,
            epsilon=0.05,
            sinkhorn_iterations=3,
            num_views=2,
            num_assign_views=2,
            grid_size=6,
            queue_size=0,
            head=dict(
                type="MLPHead",
                hidden_channels=512,
                out_channels=128,
                num_layers=3,
                activation="GELU",
            ),
        ),
    ],
)
