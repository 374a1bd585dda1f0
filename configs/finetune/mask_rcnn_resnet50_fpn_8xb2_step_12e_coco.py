"""Mask R-CNN, ResNet-50-FPN, COCO 2017, 1x schedule (12 epochs).

Paper: Wang et al., arXiv 2011.09157, section 4.2 (protocol of He et al., arXiv 1911.05722).
Cost: 90k iterations of 16 images, 8 GPUs.
Expected: box AP / mask AP in the DenseCL paper (Table 2, backbones pretrained on COCO for 800
epochs): random 32.8 / 29.9, MoCo v2 38.5 / 34.8, DenseCL 39.6 / 35.7; not run here.

    torchrun --nproc_per_node 8 tools/finetune.py mask_rcnn_resnet50_fpn_8xb2_step_12e_coco \
        --launcher pytorch --backbone backbone.pth
"""

_base_ = ["./_base_/mask_rcnn_fpn.py", "./_base_/coco_masks.py", "./_base_/schedule_1x.py"]
