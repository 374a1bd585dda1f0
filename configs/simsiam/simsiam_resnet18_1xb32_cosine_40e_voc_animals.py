"""SimSiam, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Chen and He, arXiv 2011.10566, at a small scale of our own.
Cost: 3,360 iterations of 32 images.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain simsiam_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the MoCo v2 recipe all but the model: views, schedule and data are the same.
_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    target=None,
    objectives=[
        dict(
            type="SimSiam",
            head=dict(
                type="MLPHead",
                hidden_channels=512,
                out_channels=512,
                num_layers=3,
                norm="BN",
                norm_last=True,
            ),
            predictor=dict(hidden_channels=128, norm="BN"),
        )
    ],
)
# SGD as in the paper: with the AdamW of the other recipes the projections were down to two dimensions
# after 330 iterations, and the alarm fired.
optim_wrapper = dict(
    optimizer=dict(type="SGD", lr=0.03, momentum=0.9, weight_decay=1e-4, _delete_=True)
)
