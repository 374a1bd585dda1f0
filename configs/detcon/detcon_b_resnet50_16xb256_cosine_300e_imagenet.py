"""DetCon-B, ResNet-50, 300 epochs of ImageNet-1k, 4,096 images a step.

Paper: Hénaff et al., Efficient Visual Pretraining with Contrastive Detection, arXiv 2103.10957.
Cost: 16 processes x 256 images, after one pass over the data that segments them.
Expected: no figure of ours; not run.

    dense-cl regions detcon_b_resnet50_16xb256_cosine_300e_imagenet --data IMAGENET/train
    bash tools/dist_train.sh detcon_b_resnet50_16xb256_cosine_300e_imagenet 16 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/detcon_b_resnet50.py",
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
        # The settings of the authors' generate_fh_masks_for_imagenet.py.
        regions=dict(
            type="RegionCache",
            file="data/imagenet/felzenszwalb.regions",
            provider=dict(type="Felzenszwalb", scale=1000.0, min_size=1000),
        ),
    ),
)
# 0.2 x 4096 / 256, a warm-up of a hundredth of the epochs (the authors' detcon_b_config.py).
optim_wrapper = dict(optimizer=dict(lr=3.2, weight_decay=1.5e-6))
param_scheduler = [
    dict(type="WarmupCosineLR", warmup=3, end_ratio=0.0, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=300)
auto_scale_lr = dict(base_batch_size=4096)
