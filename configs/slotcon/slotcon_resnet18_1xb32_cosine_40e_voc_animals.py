"""BYOL with SlotCon, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Wen et al., arXiv 2205.15288, at a small scale of our own.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain slotcon_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but the model: views, schedule and data are the same. At 96 px the last map has
# 3x3 cells, too few to group; those of the stage before (6x6) are grouped, and BYOL trains the last one.
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
            type="SlotCon",
            weight=0.5,
            stage=-2,
            num_prototypes=64,
            student_temperature=0.1,
            teacher_temperature=0.07,
            contrast_temperature=0.2,
            center_momentum=0.9,
            grouping_weight=0.5,
            head=dict(
                type="MLPHead",
                hidden_channels=512,
                out_channels=128,
                num_layers=3,
                norm="BN",
                activation="GELU",
            ),
            predictor=dict(hidden_channels=512, num_layers=3, norm="BN", activation="GELU"),
        ),
    ],
)
