"""MoCo v2 on two crops of one object, ResNet-18, 96 px, 40 epochs of 2,700 photos.

Paper: none; beside CAST (Selvaraju et al., arXiv 2012.04630), whose crops show a part of all that is salient, both show most of
what crops of their size can of one object, drawn for the pair (docs/crops.md).
Cost: 3,360 iterations of 32 images, after one pass over the data that finds what is salient.
Expected: not run.

    dense-cl saliency cast_objects_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
    dense-cl pretrain cast_objects_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

_base_ = "cast_crops_resnet18_1xb32_cosine_40e_voc_animals.py"
_group = _base_.train_dataloader.dataset.views[0]
_group.crop.type = "ObjectCrop"
train_dataloader = dict(dataset=dict(views=[_group]))
