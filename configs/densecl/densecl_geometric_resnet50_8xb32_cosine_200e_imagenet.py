"""DenseCL with matches by geometry, ResNet-50, 200 epochs of ImageNet-1k.

Paper: Wang et al., Dense Contrastive Learning for Self-Supervised Visual Pre-Training,
    arXiv 2011.09157, for all but the matching, which is ours: the cell of the other view that shows
    the same place, instead of the one with the most similar feature.
Cost: as DenseCL, less the similarities.
Expected: not known. Not run by us.

    bash tools/dist_train.sh densecl_geometric_resnet50_8xb32_cosine_200e_imagenet 8 \
        --data IMAGENET/train
"""

_base_ = "densecl_resnet50_8xb32_cosine_200e_imagenet.py"
_objectives = _base_.model.objectives
_objectives[1].correspondence = dict(type="GeometricNearest")
model = dict(objectives=_objectives)
