"""Panoptic-FPN, ResNet-50, COCO 2017 panoptic, 1x schedule (12 epochs).

Paper: Kirillov et al., arXiv 1901.02446; fine-tuned as mask_rcnn_resnet50_fpn_8xb2_step_12e_coco.py.
Cost: 90k iterations of 16 images, 8 GPUs.
Expected: no published number with these backbones; not run here.

    torchrun --nproc_per_node 8 tools/finetune.py panoptic_fpn_resnet50_8xb2_step_12e_coco \
        --launcher pytorch --backbone backbone.pth
"""

_base_ = ["./_base_/panoptic_fpn.py", "./_base_/coco_panoptic.py", "./_base_/schedule_1x.py"]
