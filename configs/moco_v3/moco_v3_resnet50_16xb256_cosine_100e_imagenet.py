"""MoCo v3, ResNet-50, 100 epochs of ImageNet-1k, 4,096 images a step.

Paper: Chen et al., An Empirical Study of Training Self-Supervised Vision Transformers, arXiv 2104.02057.
Cost: 16 GPUs x 256 images (the authors' CONFIG.md).
Expected: 68.9 % linear top-1 (the authors' README). Not run by us.

    bash tools/dist_train.sh moco_v3_resnet50_16xb256_cosine_100e_imagenet 16 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/moco_v3_resnet50.py",
    "../_base_/schedules/lars_cosine.py",
    "../_base_/views/byol_224.py",
]
_views = _base_.train_dataloader.dataset.views
for _view in _views:
    _view.crop.scale = (0.2, 1.0)
train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    drop_last=True,
    dataset=dict(
        type="ViewDataset",
        views=_views,
        source=dict(type="FolderSource", root="data/imagenet/train"),
    ),
)
# 0.6 x 4096 / 256.
optim_wrapper = dict(optimizer=dict(lr=9.6, weight_decay=1e-6))
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=4096)
