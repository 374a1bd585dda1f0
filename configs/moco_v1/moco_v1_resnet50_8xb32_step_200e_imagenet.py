"""MoCo v1, ResNet-50, 200 epochs of ImageNet-1k.

Paper: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, arXiv 1911.05722.
Cost: 8 GPUs x 32 images; 53 hours on 8 V100 (the authors' README).
Expected: 60.8 % linear top-1, mean of five runs (the authors' README). Not run by us.

    bash tools/dist_train.sh moco_v1_resnet50_8xb32_step_200e_imagenet 8 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/moco_v2_resnet50.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/views/moco_v1_224.py",
]
# A linear head and T = 0.07; the queue is that of v2.
model = dict(
    objectives=[
        dict(
            type="InfoNCE",
            queue_size=65536,
            temperature=0.07,
            head=dict(type="MLPHead", out_channels=128, num_layers=1),
        )
    ]
)
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    drop_last=True,
    dataset=dict(type="ViewDataset", source=dict(type="FolderSource", root="data/imagenet/train")),
)
param_scheduler = [dict(type="MultiStepLR", milestones=[120, 160], gamma=0.1, by_epoch=True)]
