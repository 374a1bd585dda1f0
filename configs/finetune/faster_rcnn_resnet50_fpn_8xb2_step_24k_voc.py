"""Faster R-CNN, ResNet-50-FPN, PASCAL VOC 07+12, 2x schedule (24,000 iterations).

Paper: He et al., arXiv 1911.05722, section 4.2.1, with a feature pyramid in place of C4.
Cost: 24k iterations of 16 images, 8 GPUs.
Expected: no published number with a pyramid (with C4 and 24k iterations the DenseCL paper gives AP
54.7 for MoCo v2 and 56.7 for DenseCL, pretrained on COCO); not run here.

    torchrun --nproc_per_node 8 tools/finetune.py faster_rcnn_resnet50_fpn_8xb2_step_24k_voc \
        --launcher pytorch --backbone backbone.pth
"""

_base_ = ["./_base_/faster_rcnn_fpn.py", "./_base_/voc_boxes.py", "./_base_/schedule_voc_24k.py"]
