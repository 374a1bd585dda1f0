"""Faster R-CNN on a pyramid over whatever backbone the file describes, 256 pixels, 1,200 iterations.

For a timm model or an MMDetection backbone that was pretrained here: its architecture is read from
the exported file, and the pyramid takes its channels. For the same from random weights, name it:
``--backbone random --cfg-options model.backbone.type=dense_cl.TimmBackbone
model.backbone.model_name=convnext_atto``.
Cost: that of faster_rcnn_resnet18_fpn_1xb4_cosine_1200i_small.py, with another backbone.
Expected: no reference.

    dense-cl finetune faster_rcnn_from_file_fpn_1xb4_cosine_1200i_small --backbone backbone.pth \
        --train LABELS.json [--val VAL.json] [--fraction 10]
"""

_base_ = "./faster_rcnn_resnet18_fpn_1xb4_cosine_1200i_small.py"

model = dict(backbone=dict(_delete_=True, type="FromFile"))
