"""SimSiam, ResNet-50, 100 epochs of ImageNet-1k, 512 images a step.

Paper: Chen and He, Exploring Simple Siamese Representation Learning, arXiv 2011.10566.
Cost: 8 GPUs x 64 images.
Expected: 68.1 % linear top-1 (paper). Not run by us.

    bash tools/dist_train.sh simsiam_resnet50_8xb64_cosine_100e_imagenet 8 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/simsiam_resnet50.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/views/moco_v2_224.py",
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
# 0.05 x 512 / 256.
optim_wrapper = dict(
    optimizer=dict(lr=0.1, weight_decay=1e-4),
    # Groups of their own for what keeps its learning rate.
    paramwise_cfg=dict(custom_keys={".predictor.": dict(lr_mult=1.0)}),
)
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=512)
# The predictor keeps its learning rate (the authors' --fix-pred-lr).
custom_hooks = [dict(type="FixedLRHook", modules=["predictor"])]
