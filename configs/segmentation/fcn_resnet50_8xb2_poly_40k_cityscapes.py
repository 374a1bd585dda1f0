"""FCN, ResNet-50 dilated to stride 8, Cityscapes, 40,000 iterations.

Paper: Wang et al. (DenseCL), arXiv 2011.09157; crops, sliding windows and aligned corners
of MMSegmentation's fcn_r50-d8_4xb2-40k_cityscapes-769x769, with a batch of 16.
Cost: 40k iterations of 16 crops of 769x769 pixels, 8 GPUs.
Expected: the paper's abstract says DenseCL is 1.8 mIoU above MoCo v2 on val. Not run here.

    torchrun --nproc_per_node 8 -m dense_cl.cli evaluate segmentation-fine-tuning \
        fcn_resnet50_8xb2_poly_40k_cityscapes --launcher pytorch --backbone backbone.pth --out result.json
"""

_base_ = ["./_base_/fcn.py", "./_base_/cityscapes.py", "./_base_/schedule_40k.py"]

model = dict(
    data_preprocessor=dict(size=(769, 769)),
    decode_head=dict(align_corners=True, num_classes=19),
    auxiliary_head=dict(align_corners=True, num_classes=19),
    test_cfg=dict(mode="slide", crop_size=(769, 769), stride=(513, 513)),
)
