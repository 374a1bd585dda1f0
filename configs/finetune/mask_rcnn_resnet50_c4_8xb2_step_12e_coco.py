"""Mask R-CNN, ResNet-50-C4, COCO 2017, 1x schedule (12 epochs).

Paper: He et al., arXiv 1911.05722, section 4.2.2 and appendix.
Cost: 90k iterations of 16 images, 8 GPUs.
Expected: Table 5 of the MoCo paper has this schedule for random, supervised and MoCo v1 weights of
ImageNet; not run here.

    torchrun --nproc_per_node 8 tools/finetune.py mask_rcnn_resnet50_c4_8xb2_step_12e_coco \
        --launcher pytorch --backbone backbone.pth
"""

_base_ = ["./_base_/mask_rcnn_c4.py", "./_base_/coco_masks.py", "./_base_/schedule_1x.py"]
