"""DenseCL with matches by geometry, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Wang et al., arXiv 2011.09157, at a small scale of our own, but for the matching: the cell of the
    other view that shows the same place, instead of the one with the most similar feature.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain densecl_geometric_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

_base_ = "densecl_resnet18_1xb32_cosine_40e_voc_animals.py"
_objectives = _base_.model.objectives
_objectives[1].correspondence = dict(type="GeometricNearest")
model = dict(objectives=_objectives)
