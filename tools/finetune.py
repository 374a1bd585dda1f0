"""``python tools/finetune.py CONFIG ...``: ``dense-cl finetune`` in MMEngine's place and shape."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dense_cl.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["finetune", *sys.argv[1:]]))
