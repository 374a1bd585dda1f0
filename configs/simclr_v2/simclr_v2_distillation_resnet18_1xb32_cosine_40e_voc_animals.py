"""SimCLR v2's third step, small: a ResNet-18 learns a fine-tuned teacher's predictions on 2,700 photos.

Paper: Chen et al., arXiv 2006.10029, at a small scale of our own.
Cost: 3,360 iterations of 32 images, one view each.
Expected: depends on the teacher; docs/methods.md says how to make one.

    dense-cl pretrain simclr_v2_distillation_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json \
        --cfg-options model.objectives.0.teacher=TEACHER.pth
"""

_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    target=None,
    objectives=[dict(type="Distillation", teacher="data/teacher.pth", temperature=1.0)],
)
_views = _base_.train_dataloader.dataset.views
_views[0].count = 1
_views[0].transforms = [dict(type="HorizontalFlip", p=0.5)]
train_dataloader = dict(dataset=dict(views=_views))
