"""ReSim, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Xiao et al., arXiv 2103.12902, at a small scale of our own.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain resim_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# The MoCo v2 recipe with a second objective and one flip for both views. At 96 px C4 has 6 x 6 cells and C3 12 x 12: windows of the paper's
# sizes are 3 and 4 cells wide, and slide by 16 px (1 and 2 cells), so that there are 16 and 25 of them.
_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"

_group = _base_.train_dataloader.dataset.views[0]
_group.shared = [_group.transforms.pop()]  # HorizontalFlip is the last
train_dataloader = dict(dataset=dict(views=[_group]))
model = dict(
    objectives=[
        dict(
            type="InfoNCE",
            queue_size=128,
            temperature=0.05,
            head=dict(type="MLPHead", hidden_channels=512, out_channels=128),
        ),
        dict(
            type="ReSim",
            stages=(-2, -3),
            windows=(48, 32),
            strides=(16, 16),
            channels=128,
            temperature=0.2,
        ),
    ],
)
