# DetCon-S (Hénaff et al., arXiv 2103.10957): the contrast of detcon_b_resnet50.py on one network, with a
# head of SimCLR's widths. Its last layer is not normalised, which SimCLR's is: the authors' repository has B
# only, whose heads (utils/networks.py) normalise the hidden layer alone.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="ResNet", depth=50, norm="SyncBN", zero_init_residual=True),
    shuffle_bn=False,  # statistics are synchronised instead
    objectives=[
        dict(
            type="DetConS",
            temperature=0.1,
            num_regions=16,
            head=dict(type="MLPHead", hidden_channels=2048, out_channels=128, norm="SyncBN"),
        )
    ],
)
