"""MoCo v3, ViT-B/16, 300 epochs of ImageNet-1k, 4,096 images a step.

Paper: Chen et al., An Empirical Study of Training Self-Supervised Vision Transformers, arXiv 2104.02057.
Cost: 64 GPUs x 64 images (the authors' CONFIG.md).
Expected: 76.7 % linear top-1 (the authors' CONFIG.md). Not run by us.

    bash tools/dist_train.sh moco_v3_vit_base_64xb64_cosine_300e_imagenet 64 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/moco_v3_vit_base.py",
    "../_base_/schedules/adamw_warmup_cosine.py",
    "../_base_/views/byol_224.py",
]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    drop_last=True,
    dataset=dict(
        type="ViewDataset",
        source=dict(type="FolderSource", root="data/imagenet/train"),
    ),
)
# 1.5e-4 x 4096 / 256.
optim_wrapper = dict(optimizer=dict(lr=2.4e-3))
auto_scale_lr = dict(base_batch_size=4096)
