"""SwAV with a queue, ResNet-18, 2 x 96 + 4 x 48 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Caron et al., arXiv 2006.09882, at a small scale of our own.
Cost: 3,360 iterations of 32 images of six views.
Expected: docs/results.md has what 20 epochs with two views gave; 40 were not run.

    dense-cl pretrain swav_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/swav_resnet50.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/views/multicrop_96_48.py",
]
# As in the paper the batch and the queue together are more than the prototypes (32 + 128 for 100), the
# prototypes are frozen for an epoch (84 steps), and the queue begins later (5 epochs). The queue is
# 4 steps old at most, as in moco_v2_resnet18_small.py, and epsilon is what the authors advise against
# a loss that stays at ln K: with 0.05 and 200 prototypes it went there in the first 40 steps.
model = dict(
    backbone=dict(depth=18, norm="BN"),
    objectives=[
        dict(
            type="SwAV",
            num_prototypes=100,
            temperature=0.1,
            epsilon=0.03,
            sinkhorn_iterations=3,
            num_views=6,
            num_assign_views=2,
            freeze_steps=84,
            queue_size=128,
            queue_start=420,
            head=dict(type="MLPHead", hidden_channels=512, out_channels=128, norm="BN"),
        )
    ],
)
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    drop_last=True,
    dataset=dict(
        type="ViewDataset",
        source=dict(
            type="CocoSource",
            annotations="data/voc_animals/annotations/train.json",
            image_root="data/voc_animals/images",
        ),
    ),
)
auto_scale_lr = dict(base_batch_size=32)
train_cfg = dict(max_epochs=40)
default_hooks = dict(checkpoint=dict(interval=5))
