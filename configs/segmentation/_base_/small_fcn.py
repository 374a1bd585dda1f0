# FCN on a ResNet-18 with its own strides: maps of the last three stages are brought to stride 8 and
# classified together, after the skip connections of FCN-8s (Long et al., arXiv 1411.4038, section 4.2).
# Dilated to stride 8 as fcn.py, a step would take almost three times as long.
_base_ = "./fcn.py"

loss = dict(type="CrossEntropyLoss", avg_non_ignore=True)  # the mean over labelled pixels
model = dict(
    data_preprocessor=dict(size=(192, 256)),
    backbone=dict(depth=18, strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1)),
    decode_head=dict(
        in_channels=[128, 256, 512],
        in_index=[1, 2, 3],
        input_transform="resize_concat",
        channels=128,
        num_convs=1,
        concat_input=False,
        num_classes=2,
        loss_decode=loss,
    ),
    auxiliary_head=None,
)
