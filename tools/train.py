"""``python tools/train.py CONFIG ...``: ``dense-cl pretrain`` in MMEngine's place and shape."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dense_cl.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
