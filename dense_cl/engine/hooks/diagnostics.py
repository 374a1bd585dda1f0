"""The instruments while training: what the features are like, not only what the loss is."""

import copy
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from dense_cl.diagnostics.measure import label_measures, view_measures
from dense_cl.diagnostics.sample import sample_views
from dense_cl.engine.runner import PretrainRunner
from dense_cl.engine.state import normalization
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.labelled_images import LabelledImages, class_numbers
from dense_cl.registry import HOOKS


@HOOKS.register_module()
class DiagnosticsHook(Hook):
    """Measure the backbone's pooled features regularly, always on the same images.

    The values are logged as ``diagnostics_<name>`` (see ``dense_cl.diagnostics.measure``), so they
    are in ``scalars.json`` and in every tracker. They are of a copy of the backbone in evaluation
    mode, on the first rank; training is not touched, and goes on to the same weights. In the log
    the time it takes counts as waiting for data.

    Args:
        interval: epochs (or iterations) between two measurements; there is one before the first.
        by_epoch: the unit of ``interval``.
        images: how many training images to look at, two views each; 0 for none.
        labelled: a folder with a subfolder for each class, or a text file with lines of
            'path, label': kNN accuracy and tolerance. Each image is classified by the others.
        queries: labelled images that are classified by those of ``labelled`` instead.
        column: which label of a line counts, 1 for the first.
        max_labelled: images of each labelled set to use at most.
    """

    def __init__(
        self,
        interval: int = 1,
        by_epoch: bool = True,
        images: int = 256,
        labelled: str | Path | None = None,
        queries: str | Path | None = None,
        column: int = 1,
        max_labelled: int = 1000,
    ) -> None:
        if interval < 1 or (images < 2 and labelled is None) or (queries and not labelled):
            raise DenseCLError(
                f"DiagnosticsHook: interval={interval} must be at least 1, and it needs something "
                f"to look at: images={images} of at least 2, or labelled=; queries= need labelled=."
            )
        self.interval, self.by_epoch, self.images = interval, by_epoch, images
        self.labelled, self.queries, self.column = labelled, queries, column
        self.max_labelled = max_labelled

    def before_train(self, runner: PretrainRunner) -> None:
        """Read the images, and measure where a new run begins."""
        if not is_main_process():
            return
        dataset = runner.train_dataloader.dataset
        self._views_NQHWC = sample_views(dataset, self.images)[0] if self.images else None
        paths = [path for path in (self.labelled, self.queries) if path is not None]
        sets = [LabelledImages.find(path, self.column).subset(self.max_labelled) for path in paths]
        self._sets = [
            (labelled.images(dataset.groups[0].size[0]), numbers)
            for labelled, numbers in zip(sets, class_numbers(*(s.names for s in sets)), strict=True)
        ]
        if runner.iter == 0:
            self._measure(runner, 0)

    def after_train_iter(
        self,
        runner: PretrainRunner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Measure when an interval is over."""
        done = runner.iter + 1
        interval = self.interval * (len(runner.train_dataloader) if self.by_epoch else 1)
        if is_main_process() and done % interval == 0:
            self._measure(runner, done)

    def _measure(self, runner: PretrainRunner, step: int) -> None:
        # Not above: evaluation builds on the engine.
        from dense_cl.evaluation.frozen import FrozenBackbone

        backbone: Any = copy.deepcopy(runner.learner.backbone)
        backbone.normalization = normalization(runner.learner.data_preprocessor)
        frozen = FrozenBackbone.wrap(backbone)
        values: dict[str, float] = {}
        if self._views_NQHWC is not None:
            images, views = self._views_NQHWC.shape[:2]
            features = frozen.pooled(self._views_NQHWC.flatten(0, 1))
            values |= view_measures(features.view(images, views, -1))
        if self._sets:
            labelled = [(frozen.pooled(images), labels) for images, labels in self._sets]
            values |= label_measures(*(tensor for pair in labelled for tensor in pair))
        values = {f"diagnostics_{name}": value for name, value in values.items()}
        # Not through the message hub: its values would be repeated in every line until the next.
        runner.visualizer.add_scalars(values, step=step)
        listed = "  ".join(f"{k.removeprefix('diagnostics_')} {v:.4g}" for k, v in values.items())
        runner.logger.info(f"diagnostics after {step} iterations:  {listed}")
