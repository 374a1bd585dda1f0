"""BYOL, ResNet-50, 1000 epochs of ImageNet-1k, 4,096 images a step.

Paper: Grill et al., Bootstrap Your Own Latent, arXiv 2006.07733.
Cost: 16 processes x 256 images.
Expected: 74.3 % linear top-1 (paper). Not run by us.

    bash tools/dist_train.sh byol_resnet50_16xb256_cosine_1000e_imagenet 16 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/byol_resnet50.py",
    "../_base_/schedules/lars_cosine.py",
    "../_base_/views/byol_224.py",
]
train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    drop_last=True,
    dataset=dict(
        type="ViewDataset",
        source=dict(type="FolderSource", root="data/imagenet/train"),
    ),
)
# 0.2 x 4096 / 256.
optim_wrapper = dict(optimizer=dict(lr=3.2, weight_decay=1.5e-6))
train_cfg = dict(max_epochs=1000)
auto_scale_lr = dict(base_batch_size=4096)
