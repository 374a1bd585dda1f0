# small_data.py at 160 pixels.
_base_ = "./small_data.py"

size = (160, 160)
_base_.train_pipeline[2].scale = size
_base_.test_pipeline[1].scale = size
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
