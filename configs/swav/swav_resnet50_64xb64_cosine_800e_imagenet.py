"""SwAV, ResNet-50, 800 epochs of ImageNet-1k, 4,096 images a step, eight views each.

Paper: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments,
    arXiv 2006.09882.
Cost: 64 processes x 64 images.
Expected: 75.3 % linear top-1 (facebookresearch/swav README.md). Not run by us.

    bash tools/dist_train.sh swav_resnet50_64xb64_cosine_800e_imagenet 64 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/swav_resnet50.py",
    "../_base_/schedules/lars_cosine.py",
    "../_base_/views/multicrop_224_96.py",
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
# From 0.3 to 4.8 in ten epochs, then to 0.0048 (the authors' scripts/swav_800ep_pretrain.sh). Their
# LARC scales and decays biases and norms too; our LARS does not.
optim_wrapper = dict(optimizer=dict(lr=4.8, weight_decay=1e-6))
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=0.0625,
        by_epoch=True,
        begin=0,
        end=10,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        eta_min=0.0048,
        by_epoch=True,
        begin=10,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=4096)
