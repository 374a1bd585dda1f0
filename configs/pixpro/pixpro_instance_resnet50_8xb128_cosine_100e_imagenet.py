"""PixPro with the instance branch, ResNet-50, 100 epochs of ImageNet-1k, 1,024 images a step.

Paper: Xie et al., Propagate Yourself, arXiv 2011.10043. The instance branch is BYOL's loss, with a
    weight of 1 for want of a published script.
Cost: 8 GPUs x 128 images.
Expected: Mask R-CNN R50-FPN 1x on COCO 41.3 box AP (zdaxie/PixPro README.md). Not run by us.

    bash tools/dist_train.sh pixpro_instance_resnet50_8xb128_cosine_100e_imagenet 8 \
        --data IMAGENET/train
"""

_base_ = "pixpro_resnet50_8xb128_cosine_100e_imagenet.py"
model = dict(
    objectives=[
        *_base_.model.objectives,
        dict(
            type="BYOL",
            head=dict(type="MLPHead", hidden_channels=4096, out_channels=256, norm="SyncBN"),
            predictor=dict(hidden_channels=4096, norm="SyncBN"),
        ),
    ]
)
