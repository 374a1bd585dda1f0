"""MoCo v2 on CAST's crops, without its attention, ResNet-18, 96 px, 40 epochs of 2,700 photos.

Paper: Selvaraju et al., arXiv 2012.04630, at a small scale of our own.
Cost: 3,360 iterations of 32 images, after one pass over the data that finds what is salient.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl saliency cast_crops_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
    dense-cl pretrain cast_crops_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but the crops, which keep their scale and ratio.
_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
_group = _base_.train_dataloader.dataset.views[0]
_group.crop.type = "SaliencyCrop"
train_dataloader = dict(
    dataset=dict(
        views=[_group],
        saliency=dict(
            type="RegionCache",
            file="data/voc_animals/robust_background.saliency",
            provider=dict(type="RobustBackground"),
        ),
    )
)
