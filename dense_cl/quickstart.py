"""``dense-cl quickstart``: the whole path on generated scenes, in minutes, ending in a page.

Scenes, DenseCL pretraining on them without labels, Mask R-CNN fine-tuning from the pretrained
backbone and from a random one with the same labels and schedule, and a report. A stage that was
finished with the same settings is not repeated.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dense_cl import __version__
from dense_cl.engine.config import load_config
from dense_cl.engine.pretrain import pretrain
from dense_cl.engine.state import versions
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.matching import compare_matches
from dense_cl.report.html import save
from dense_cl.report.quickstart_page import quickstart_page, verdict
from dense_cl.sources.synthetic import generate_scenes
from dense_cl.transfer.finetune import finetune
from dense_cl.transfer.weights_file import replacing

STARTS = ("pretrained", "random")
SECONDS = {  # what the stages take on two CPU cores with AVX2, without bfloat16
    "generate scenes": 10,
    "pretrain without labels": 130,
    "fine-tune from pretrained weights": 130,
    "fine-tune from random weights": 130,
}
SCENE_SEED = 0  # the data stay; --seed changes the training


@dataclass(frozen=True)
class Settings:
    """Sizes at which two CPU cores need about seven minutes.

    Attributes:
        seed: of pretraining and fine-tuning.
        image_size: side of the scenes in pixels.
        scenes: scenes for pretraining; their labels are not used.
        labelled: the first so many of them are fine-tuned on, with labels.
        val: further scenes, for AP.
        pretrain_config: recipe.
        finetune_config: recipe.
        pretrain_options: changes to the recipe.
        finetune_options: changes to the recipe.
    """

    seed: int = 0
    image_size: int = 128
    scenes: int = 512
    labelled: int = 150
    val: int = 80
    pretrain_config: str = "densecl_resnet18_1xb16_cosine_8e_scenes"
    finetune_config: str = "mask_rcnn_resnet18_fpn_1xb4_cosine_150i_scenes"
    pretrain_options: Mapping[str, Any] = field(default_factory=dict)
    finetune_options: Mapping[str, Any] = field(default_factory=dict)


def quickstart(
    work_dir: str | Path = "work_dirs/quickstart",
    data: str | Path = "data/scenes",
    settings: Settings | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Run every stage and return the page, ``<work_dir>/report.html``.

    Args:
        work_dir: where everything but the scenes is written; ``results.json`` has the numbers.
        data: where the scenes are written.
        settings: sizes and recipes.
        say: called with lines about the progress.

    Raises:
        DenseCLError: ``data`` holds other scenes, or ``work_dir`` something else.
    """
    settings = settings or Settings()
    work, stages = Path(work_dir), _Stages(say)

    def make_scenes() -> dict[str, Any]:
        files = generate_scenes(
            data,
            {"train": settings.scenes, "val": settings.val},
            size=(settings.image_size, settings.image_size),
            seed=SCENE_SEED,
            labelled=settings.labelled,
            workers=2,
            progress=_every_tenth(say),
        )
        labels = {name: files[name] for name in ("train_labelled", "val")}
        return {
            name: str(one_category(file, work / "labels" / f"{name}.json"))
            for name, file in labels.items()
        }

    say(f"about {sum(SECONDS.values()) / 60:.0f} minutes on two cores, less with a GPU")
    # Without a key: the writer itself knows what it has done.
    scenes = stages.run("generate scenes", make_scenes)

    def learn() -> dict[str, Any]:
        result = pretrain(
            settings.pretrain_config,
            data=Path(data) / "train",
            work_dir=work / "pretrain",
            resume="auto",
            cfg_options={"randomness.seed": settings.seed, **settings.pretrain_options},
        )
        summary = json.loads((result.work_dir / "summary.json").read_text(encoding="utf-8"))
        return {"backbone": str(result.backbone), "summary": summary}

    recipe = load_config(settings.pretrain_config).pretty_text
    shape = settings.image_size, settings.scenes, settings.labelled, settings.val, SCENE_SEED
    key = _key(shape, str(Path(data).resolve()), recipe, settings.pretrain_options, settings.seed)
    trained = stages.run("pretrain without labels", learn, work / "pretrain", key)

    metrics = {}
    recipe = load_config(settings.finetune_config).pretty_text
    for start in STARTS:
        folder = work / f"finetune_{start}"
        backbone = trained["backbone"] if start == "pretrained" else "random"

        def tune(backbone: str = backbone, folder: Path = folder) -> dict[str, Any]:
            return finetune(
                settings.finetune_config,
                backbone,
                train=scenes["train_labelled"],
                val=scenes["val"],
                train_images=Path(data) / "train",
                val_images=Path(data) / "val",
                seed=settings.seed,
                work_dir=folder,
                cfg_options={
                    "val_evaluator.outfile_prefix": str(folder / "val"),
                    **settings.finetune_options,
                },
            )

        data_key = key if start == "pretrained" else shape
        tune_key = _key(data_key, recipe, settings.finetune_options, settings.seed)
        title = f"fine-tune from {start} weights"
        metrics[start] = stages.run(title, tune, folder, tune_key)

    held_out = Path(data) / "val"
    compared = compare_matches(held_out, "random", trained["backbone"], settings.seed)
    results = {
        "settings": asdict(settings),
        "scene_seed": SCENE_SEED,
        "labels": scenes,
        "backbone": trained["backbone"],
        "pretraining": trained["summary"],
        "finetuning": metrics,
        "matching": compared.rates,
        "seconds": stages.seconds,
        "versions": versions(),
    }
    (work / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    html = quickstart_page(results, compared.examples, work, held_out)
    page = save(html, work / "report.html")
    say(f"AP from {' and '.join(STARTS)} weights: {verdict(results)}")
    say(f"open {page.resolve()}")
    return page


def one_category(labels: Path, out: Path) -> Path:
    """Write COCO labels with every object in the one category "object".

    To tell sixteen shapes apart takes longer than the minutes there are: from random weights AP
    would stay near zero, and the difference to any other start with it.
    """
    content = json.loads(labels.read_text(encoding="utf-8"))
    content["categories"] = [{"id": 1, "name": "object"}]
    for annotation in content["annotations"]:
        annotation["category_id"] = 1
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content), encoding="utf-8")
    return out


class _Stages:
    """Runs stages one after the other, remembers finished ones, and says how long it will take."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.seconds: dict[str, float] = {}

    def run(
        self,
        title: str,
        work: Callable[[], dict[str, Any]],
        folder: Path | None = None,
        key: str = "",
    ) -> dict[str, Any]:
        """Return the stage's result, from ``stage.json`` if it was finished with this key.

        Args:
            title: for the progress line.
            work: does it.
            folder: of the stage; what another key left there is removed. None always works.
            key: of everything the result depends on.
        """
        head = f"[{len(self.seconds) + 1}/{len(SECONDS)}] {title}"
        marker = folder / "stage.json" if folder else None
        before = _read(marker)
        if before.get("key") == key and "result" in before:
            self.say(f"{head}: done before in {before['seconds']:.0f} s, kept")
            self.seconds[title] = before["seconds"]
            return before["result"]
        if folder and before.get("key") != key and folder.is_dir():
            if not before and any(folder.iterdir()):
                raise DenseCLError(
                    f"'{folder}' holds something that is not of a quickstart. Choose another"
                    " --work-dir."
                )
            old = folder.with_name(f".{folder.name}.old")  # a kill leaves no half of it
            shutil.rmtree(old, ignore_errors=True)
            shutil.rmtree(folder.rename(old))
        _write(marker, {"key": key})
        self.say(f"{head}: about {SECONDS[title]} s")
        start = time.monotonic()
        result = work()
        self.seconds[title] = round(time.monotonic() - start, 1)
        _write(marker, {"key": key, "seconds": self.seconds[title], "result": result})
        self.say(f"{head}: took {self.seconds[title]:.0f} s")
        return result


def _read(marker: Path | None) -> dict[str, Any]:
    if marker is None or not marker.is_file():
        return {}
    return json.loads(marker.read_text(encoding="utf-8") or "{}")


def _write(marker: Path | None, content: dict[str, Any]) -> None:
    if marker is not None:
        with replacing(marker) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _key(*parts: Any) -> str:
    return hashlib.sha256(repr((__version__, parts)).encode()).hexdigest()[:16]


def _every_tenth(say: Callable[[str], None]) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        if done * 10 // total > (done - 1) * 10 // total:
            say(f"scenes: {done} of {total}")

    return report
