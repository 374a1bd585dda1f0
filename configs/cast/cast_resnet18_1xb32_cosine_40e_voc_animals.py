"""CAST on MoCo v2: its crops and its attention, ResNet-18, 96 px, 40 epochs of 2,700 photos.

Paper: Selvaraju et al., arXiv 2012.04630, at a small scale of our own.
Cost: 3,360 iterations of 32 images, after one pass over the data that finds what is salient.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl saliency cast_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
    dense-cl pretrain cast_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Weights as in the recipe for COCO. At 96 px layer4 has 3x3 cells, too few to look anywhere in particular;
# those of layer3 (6x6) are taken, not much coarser than the paper's 7x7.
_base_ = "cast_crops_resnet18_1xb32_cosine_40e_voc_animals.py"
_contrast = _base_.model.objectives[0]
_contrast.weight = 0.25
model = dict(
    objectives=[_contrast, dict(type="GradCAMAttention", layer="layer3", weight=0.75)],
)
