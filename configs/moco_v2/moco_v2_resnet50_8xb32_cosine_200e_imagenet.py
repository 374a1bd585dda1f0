"""MoCo v2, ResNet-50, 200 epochs of ImageNet-1k.

Paper: Chen et al., Improved Baselines with Momentum Contrastive Learning, arXiv 2003.04297.
Cost: 8 GPUs x 32 images; the paper's 53 hours on 8 V100.
Expected: 67.5 % linear top-1 (table 2). Not run by us.

    bash tools/dist_train.sh moco_v2_resnet50_8xb32_cosine_200e_imagenet 8 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/moco_v2_resnet50.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/views/moco_v2_224.py",
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    drop_last=True,
    dataset=dict(type="ViewDataset", source=dict(type="FolderSource", root="data/imagenet/train")),
)
