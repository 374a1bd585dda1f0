"""Faster R-CNN, ResNet-50-C4, PASCAL VOC 07+12, 24,000 iterations.

Paper: He et al., arXiv 1911.05722, section 4.2.1 and appendix; R_50_C4_24k_moco.yaml of
facebookresearch/moco. Other than there, the statistics of norm layers are the running ones and are
not measured anew before testing ("precise BN"), objects marked difficult are not trained on, and AP
is COCO's of 101 recalls, not VOC 2007's of 11 (docs/finetuning.md).
Cost: 24k iterations of 16 images, 8 GPUs.
Expected: no published number with this AP; not run here. The DenseCL paper has 54.7 for MoCo v2 and
56.7 for DenseCL with VOC's (arXiv 2011.09157, Table 1, pretrained on COCO for 800 epochs).

    torchrun --nproc_per_node 8 tools/finetune.py faster_rcnn_resnet50_c4_8xb2_step_24k_voc \
        --launcher pytorch --backbone backbone.pth
"""

_base_ = ["./_base_/faster_rcnn_c4.py", "./_base_/voc_boxes.py", "./_base_/schedule_voc_24k.py"]
