"""SimCLR with DetCon-S, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Hénaff et al., arXiv 2103.10957, at a small scale of our own.
Cost: 3,360 iterations of 32 images, after one pass over the data that segments them.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl regions detcon_s_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
    dense-cl pretrain detcon_s_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Regions of the stage before the last, as in the recipe of DetCon-B; SimCLR trains the last one. The last
# layer of SimCLR's head is normalised, that of DetCon-S as little as B's.
_base_ = "detcon_b_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    target=None,
    objectives=[
        dict(
            type="SimCLR",
            weight=0.5,
            temperature=0.1,
            head=dict(
                type="MLPHead", hidden_channels=512, out_channels=128, norm="BN", norm_last=True
            ),
        ),
        dict(
            type="DetConS",
            weight=0.5,
            stage=-2,
            temperature=0.1,
            num_regions=16,
            head=dict(type="MLPHead", hidden_channels=512, out_channels=128, norm="BN"),
        ),
    ],
)
