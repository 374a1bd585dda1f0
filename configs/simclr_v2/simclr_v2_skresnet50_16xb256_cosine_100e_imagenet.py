"""SimCLR v2, ResNet-50 with selective kernels, 100 epochs of ImageNet-1k, 4,096 images a step.

Paper: Chen et al., Big Self-Supervised Models are Strong Semi-Supervised Learners, arXiv 2006.10029, with
the settings of the pretraining command in the authors' README (google-research/simclr).
Cost: 16 processes x 256 images.
Expected: the README's table has 74.6 % linear top-1 for this network, from a training whose length it does
not give. Not run by us.

    bash tools/dist_train.sh simclr_v2_skresnet50_16xb256_cosine_100e_imagenet 16 --data IMAGENET/train

Deeper and wider networks are other names of timm's, such as
--cfg-options model.backbone.model_name=wide_resnet101_2; export with --head-layers 1 to fine-tune from the
first layer of the head.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/simclr_v2_skresnet50.py",
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
    ),
)
# 0.3 x 4096 / 256, which is the README's 0.075 x sqrt(4096).
optim_wrapper = dict(optimizer=dict(lr=4.8, weight_decay=1e-4))
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=4096)
