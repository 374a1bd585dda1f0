"""Barlow Twins, ResNet-50, 1000 epochs of ImageNet-1k, 2,048 images a step.

Paper: Zbontar et al., Barlow Twins, arXiv 2103.03230.
Cost: 16 GPUs x 128 images.
Expected: 73.2 % linear top-1 (paper). Not run by us.

    bash tools/dist_train.sh barlow_twins_resnet50_16xb128_cosine_1000e_imagenet 16 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/barlow_twins_resnet50.py",
    "../_base_/schedules/lars_cosine.py",
    "../_base_/views/byol_224.py",
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    drop_last=True,
    dataset=dict(
        type="ViewDataset",
        source=dict(type="FolderSource", root="data/imagenet/train"),
    ),
)
# 0.2 x 2048 / 256 for weights, 0.0048 x 2048 / 256 for biases and normalisation.
optim_wrapper = dict(optimizer=dict(lr=1.6, weight_decay=1e-6, bias_lr_mult=0.024))
train_cfg = dict(max_epochs=1000)
auto_scale_lr = dict(base_batch_size=2048)
param_scheduler = _base_.param_scheduler
param_scheduler[0].end_ratio = 0.001
