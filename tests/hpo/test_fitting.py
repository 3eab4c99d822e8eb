"""Rows and models of a study, looked at before a trial is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hpo import fitting, spec
from hpo.errors import SpecError


@pytest.mark.parametrize("name", spec.shipped())
def test_a_shipped_study_is_right_with_its_rows(name: str) -> None:
    found = spec.load(spec.find(name))
    assert found.study == name
    fitting.check_inputs(found)


def test_reading_a_study_imports_neither_optuna_nor_torch() -> None:
    code = (
        "import sys; from hpo import fitting, spec; s = spec.load(spec.find('bert-news'));"
        "fitting.check_inputs(s); spec.render(s);"
        "print(*{'optuna', 'torch', 'transformers', 'datasets', 'scipy', 'pandas'} & set(sys.modules))"
    )
    root = Path(spec.__file__).parent.parent
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_all_blocks_may_be_frozen_of_models_of_any_depth() -> None:
    for how in ("model.frozen_layers=all", "search.model.frozen_layers=[0, 6, all]"):
        fitting.check_inputs(spec.load(spec.find("bert-news"), [how]))
    found = spec.load(spec.find("bert-news"), ["search.model.frozen_layers=[7, all]"])
    with pytest.raises(SpecError, match=r"search\.model\.frozen_layers: 7 is more than the 6 blocks that minilm has"):
        fitting.check_inputs(found)
    with pytest.raises(SpecError, match=r"model\.frozen_layers: 'most' is unknown; known: all"):
        spec.load(spec.find("bert-news"), ["model.frozen_layers=most"])
    with pytest.raises(SpecError, match=r"model\.frozen_layers: 1\.5 is not a whole number"):
        spec.load(spec.find("bert-news"), ["model.frozen_layers=1.5"])


def test_a_shipped_translation_may_be_by_two_encoders() -> None:
    found = spec.load(spec.find("phrases"), ["model.name=minilm", "model.decoder=minilm"])
    fitting.check_inputs(found)
    assert spec.subject(found).count("minilm (all-MiniLM-L6-v2") == 2
