"""Photos shared by the tests of the engine."""

from pathlib import Path

import pytest

from tests.engine.tiny import write_images


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighteen small photos: four batches of four an epoch."""
    return write_images(tmp_path_factory.mktemp("photos"), 18)
