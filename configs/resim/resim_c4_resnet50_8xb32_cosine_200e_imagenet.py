"""ReSim-C4, ResNet-50, 200 epochs of ImageNet-1k: windows on C4 alone, without a pyramid above it.

Paper: Xiao et al., arXiv 2103.12902. The authors released its weights and no code: what lies between C4 and
the windows (here a 1x1 and a 3x3 convolution) is ours.
Cost: 8 GPUs x 32 images, about 1,000,000 iterations.
Expected: Mask R-CNN R50-FPN on COCO (2x) 41.1 box AP (README of Tete-Xiao/ReSim). Not run by us.

    bash tools/dist_train.sh resim_c4_resnet50_8xb32_cosine_200e_imagenet 8 --data IMAGENET/train
"""

_base_ = "./resim_resnet50_8xb32_cosine_200e_imagenet.py"

_base_.model.objectives[1].update(
    stages=(-2,), windows=(48,), strides=(32,), gather=(True,), top=-2
)
model = dict(objectives=_base_.model.objectives)
