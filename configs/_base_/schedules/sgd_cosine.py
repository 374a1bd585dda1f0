# SGD with a cosine to zero, stepped each epoch, as in MoCo v2 (arXiv 2003.04297). The leaf gives
# the learning rate and max_epochs; the cosine ends with the run.
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="SGD", lr=0.03, momentum=0.9, weight_decay=1e-4)
)
param_scheduler = [dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=True)]
train_cfg = dict(type="PretrainLoop", max_epochs=200)
