"""SimSiam as it collapses: no stop-gradient, five epochs of 2,700 photos on two CPU cores.

Paper: Chen and He, arXiv 2011.10566, section 4.1 and figure 2.
Cost: 420 iterations of 32 images.
Expected: projections that vary in one or two directions after about 110 iterations, the alarm of dimensional collapse
at iteration 121 (seed 0).

    dense-cl pretrain simsiam_resnet18_1xb32_cosine_5e_voc_animals_collapse \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the SimSiam recipe all but the stop-gradient. The normalisation after the last layer of the head keeps
# the projections of a batch from being all equal; what is left to collapse is their number of directions.
_base_ = "simsiam_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    objectives=[
        dict(
            type="SimSiam",
            stop_gradient=False,
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
train_cfg = dict(max_epochs=5)
