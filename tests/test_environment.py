"""The tests see nothing of the machine they run on."""

from __future__ import annotations

import os

from hpo import config


def test_environment_is_scrubbed() -> None:
    found = config.load()
    assert found == config.Config(home=found.home)
    assert os.environ["HF_HUB_OFFLINE"] == "1"
