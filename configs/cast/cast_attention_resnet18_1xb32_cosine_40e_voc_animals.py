"""MoCo v2 with CAST's attention on plain crops, ResNet-18, 96 px, 40 epochs of 2,700 photos.

Paper: Selvaraju et al., arXiv 2012.04630, at a small scale of our own.
Cost: 3,360 iterations of 32 images, after one pass over the data that finds what is salient.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl saliency cast_attention_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
    dense-cl pretrain cast_attention_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of CAST's recipe all but the crops, which are those of MoCo v2 again.
_base_ = "cast_resnet18_1xb32_cosine_40e_voc_animals.py"
_group = _base_.train_dataloader.dataset.views[0]
_group.crop.type = "RandomResizedCrop"
train_dataloader = dict(dataset=dict(views=[_group]))
