"""SimCLR v2, ResNet-18 with selective kernels, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Chen et al., arXiv 2006.10029, at a small scale of our own.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain simclr_v2_skresnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but the model: views, schedule and data are the same.
_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    backbone=dict(type="TimmBackbone", model_name="skresnet18", _delete_=True),
    target=None,
    objectives=[
        dict(
            type="SimCLR",
            temperature=0.1,
            head=dict(
                type="MLPHead",
                hidden_channels=512,
                out_channels=128,
                num_layers=3,
                norm="BN",
                norm_last=True,
            ),
        )
    ],
)
