# SimCLR v2 (Chen et al., arXiv 2006.10029): a ResNet with selective kernels, three normalised layers of the
# width of the representation, NT-Xent at T = 0.1. Deeper and wider ones are other timm names.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="TimmBackbone", model_name="skresnet50", sync_bn=True),
    shuffle_bn=False,  # statistics are synchronised instead
    objectives=[
        dict(
            type="SimCLR",
            temperature=0.1,
            head=dict(
                type="MLPHead",
                hidden_channels=2048,
                out_channels=128,
                num_layers=3,
                norm="SyncBN",
                norm_last=True,
            ),
        )
    ],
)
