"""RetinaNet, ResNet-50-FPN, COCO 2017, 2x schedule (24 epochs).

Paper: Wang et al., arXiv 2011.09157, section 4.2 (protocol of He et al., arXiv 1911.05722).
Cost: 180k iterations of 16 images, 8 GPUs.
Expected: no published number for this detector with these backbones; not run here.

    torchrun --nproc_per_node 8 tools/finetune.py retinanet_resnet50_fpn_8xb2_step_24e_coco \
        --launcher pytorch --backbone backbone.pth
"""

_base_ = ["./_base_/retinanet_fpn.py", "./_base_/coco_boxes.py", "./_base_/schedule_2x.py"]

optim_wrapper = dict(optimizer=dict(lr=0.01))
