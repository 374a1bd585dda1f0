"""PixContrast, ResNet-50, 100 epochs of ImageNet-1k, 1,024 images a step.

Paper: Xie et al., Propagate Yourself, arXiv 2011.10043, section 3.1. The authors released PixPro only,
    whose settings are taken for all but the loss.
Cost: 8 GPUs x 128 images.
Expected: not looked up, and not run by us.

    bash tools/dist_train.sh pixcontrast_resnet50_8xb128_cosine_100e_imagenet 8 \
        --data IMAGENET/train
"""

_base_ = "../pixpro/pixpro_resnet50_8xb128_cosine_100e_imagenet.py"
model = dict(
    objectives=[
        dict(
            type="PixContrast",
            temperature=0.3,
            head=dict(type="DenseMLPHead", hidden_channels=4096, out_channels=256, norm="SyncBN"),
            correspondence=dict(type="DistanceThreshold", threshold=0.7),
        )
    ]
)
