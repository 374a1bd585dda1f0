"""DetCon-S, ResNet-50, 300 epochs of ImageNet-1k, 4,096 images a step.

Paper: Hénaff et al., Efficient Visual Pretraining with Contrastive Detection, arXiv 2103.10957. The authors'
    repository has B only: views, learning rate and the head's widths are SimCLR's, which S is built on.
Cost: 16 processes x 256 images, after one pass over the data that segments them.
Expected: no figure of ours; not run.

    dense-cl regions detcon_s_resnet50_16xb256_cosine_300e_imagenet --data IMAGENET/train
    bash tools/dist_train.sh detcon_s_resnet50_16xb256_cosine_300e_imagenet 16 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/detcon_s_resnet50.py",
    "../_base_/schedules/lars_cosine.py",
    "../_base_/views/simclr_224.py",
]
train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    drop_last=True,
    dataset=dict(
        type="ViewDataset",
        source=dict(type="FolderSource", root="data/imagenet/train"),
        regions=dict(
            type="RegionCache",
            file="data/imagenet/felzenszwalb.regions",
            provider=dict(type="Felzenszwalb", scale=1000.0, min_size=1000),
        ),
    ),
)
# 0.3 x 4096 / 256.
optim_wrapper = dict(optimizer=dict(lr=4.8, weight_decay=1e-6))
train_cfg = dict(max_epochs=300)
auto_scale_lr = dict(base_batch_size=4096)
