"""MoCo v2, ResNet-18, 96 px, 40 epochs of 2,700 photos: a baseline that two CPU cores can run.

Paper: Chen et al., arXiv 2003.04297, at a small scale of our own.
Cost: 3,360 iterations of 32 images.
Expected: see docs/results.md.

    dense-cl pretrain moco_v2_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/moco_v2_resnet18_small.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/views/moco_v2_96.py",
]
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
