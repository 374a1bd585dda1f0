"""SimCLR v2's third step: a ResNet-50 learns a fine-tuned teacher's predictions, without labels.

Paper: Chen et al., Big Self-Supervised Models are Strong Semi-Supervised Learners, arXiv 2006.10029.
Temperature, weight decay, crops and flips are those of the authors' notebook (google-research/simclr
colabs/distillation_self_training.ipynb); rate and length are those of our pretraining recipe.
Cost: 16 processes x 256 images, one view each, and the teacher's forward pass.
Expected: depends on the teacher. Not run by us.

    bash tools/dist_train.sh simclr_v2_distillation_resnet50_16xb256_cosine_100e_imagenet 16 \
        --data IMAGENET/train --cfg-options model.objectives.0.teacher=TEACHER.pth

docs/methods.md says how to make the teacher.
"""

_base_ = "simclr_v2_skresnet50_16xb256_cosine_100e_imagenet.py"
model = dict(
    backbone=dict(type="ResNet", depth=50, norm="SyncBN", _delete_=True),
    objectives=[dict(type="Distillation", teacher="data/teacher.pth", temperature=1.0)],
)
_views = _base_.train_dataloader.dataset.views
_views[0].count = 1
_views[0].transforms = [dict(type="HorizontalFlip", p=0.5)]
train_dataloader = dict(dataset=dict(views=_views))
