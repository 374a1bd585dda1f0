# The recipe of moco_v2_224.py with one flip for both views (Xiao et al., arXiv 2103.12902; Tete-Xiao/ReSim
# moco/datasets.py).
_base_ = "moco_v2_224.py"

_group = _base_.train_dataloader.dataset.views[0]
_group.shared = [_group.transforms.pop()]  # HorizontalFlip is the last
train_dataloader = dict(dataset=dict(views=[_group]))
