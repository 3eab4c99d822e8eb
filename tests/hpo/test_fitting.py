"""Rows and models of a study, looked at before a trial is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pets
import pytest

from hpo import fitting, promote, spec
from hpo.errors import SpecError
from hpo.promotion import Candidate, Promotion

PROMOTION = Promotion("pets", 1, "train", (1,), (Candidate({"training.learning_rate": 1e-3}, 0, 0.5, 1),))


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


def test_rows_of_a_class_are_counted_where_rows_are_images() -> None:
    fitting.check_inputs(spec.load(spec.find("shapes"), ["search.data.shots=[4, 6]"]))
    with pytest.raises(SpecError, match=r"search\.data\.shots: asks for 600 training rows of each class"):
        fitting.check_inputs(spec.load(spec.find("shapes"), ["search.data.shots=[4, 600]"]))


def test_a_point_is_held_against_its_own_model(tmp_path: Path) -> None:
    large = spec.find("shapes").parent / "data" / "resnet-small"
    shutil.copytree(large, tmp_path / "small")
    config = json.loads((large / "config.json").read_text())
    few = {name: config[name][:1] for name in ("hidden_sizes", "depths")}
    (tmp_path / "small" / "config.json").write_text(json.dumps(config | few))

    def check(**of_large: int) -> None:
        points = [{"model.name": str(tmp_path / "small"), "model.frozen_layers": 1}, {"model.name": str(large)}]
        points[1] |= {name.replace("__", "."): value for name, value in of_large.items()}
        overrides = ["search=null", "sampler=grid", "trials=null", f"points={json.dumps(points)}"]
        fitting.check_inputs(spec.load(spec.find("shapes"), overrides))

    check(model__frozen_layers=3)
    with pytest.raises(SpecError, match=r"^study shapes: points: model\.frozen_layers: 7 is more than the 3 blocks"):
        check(model__frozen_layers=7)
    with pytest.raises(SpecError, match=r"^study shapes: points: data\.shots: asks for 900 training rows"):
        check(data__shots=900)


@pytest.mark.parametrize(
    ("task", "metric", "labels", "same", "why"),
    [
        ("text-classification", "auc", "aabbaabb", "a", "none of them is 'b'"),
        ("text-regression", "pearson", "12211221", "1", "all of them have the same number"),
        ("text-regression", "r2", "12211221", "1", "all of them have the same number"),
        ("multi-label-classification", "average_precision", "aabbaabb", "", "none of them has a class"),
    ],
)
def test_a_metric_without_a_value_is_said_before_a_trial(
    tmp_path: Path, task: str, metric: str, labels: str, same: str, why: str
) -> None:
    """Whichever rows it is that have one label alone, those to validate on or those to test on."""
    pets.save(tmp_path)
    for name, found in (("all", labels), ("one", [same] * 2)):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(f"good film,{label}\n" for label in found))

    def study(valid: str, test: str) -> spec.StudySpec:
        files = f"data={{train: all.csv, valid: {valid}.csv, test: {test}.csv, max_length: 16}}"
        return spec.load(tmp_path / "pets.yaml", [f"task={task}", files, f"metric={metric}"])

    with pytest.raises(SpecError, match=f"metric: {metric} has no value on the 2 validation rows: {why}"):
        fitting.check_inputs(study("one", "all"))
    tested = study("all", "one")
    assert fitting.check_inputs(tested)
    assert fitting.check_inputs(promote._companion(tested, PROMOTION), tested="val_loss")
    with pytest.raises(SpecError, match=f"metric: {metric} has no value on the 2 test rows: {why}"):
        fitting.check_inputs(promote._companion(tested, PROMOTION), tested=metric)


def test_a_metric_of_a_class_without_rows_is_said_before_a_trial(tmp_path: Path) -> None:
    """It would be 0 whatever a model says, and the first trial the best."""
    file = pets.save(tmp_path)
    for name, labels in (("all", "ab" * 4), ("one", "aa")):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(f"good film,{label}\n" for label in labels))
    files = "data={train: all.csv, valid: one.csv, max_length: 16}"
    with pytest.raises(
        SpecError, match=r"metric: recall\[b\] has no value on the 2 validation rows: none of them is 'b'"
    ):
        fitting.check_inputs(spec.load(file, [files, "metric='recall[b]'"]))
    assert fitting.check_inputs(spec.load(file, [files, "metric='recall[a]'"]))


def test_virtual_tokens_need_positions_too(tmp_path: Path) -> None:
    file = pets.save(tmp_path)  # of a model with 40 positions
    fits = ["model.adapter=prompt", "data.max_length=20"]
    assert fitting.check_inputs(spec.load(file, fits))
    said = r"max_length: 21 is more than the 20 tokens that .*bert reads beside 20 virtual ones; lower it to 20"
    for more in (["data.max_length=21"], ["data.max_length=16", "search.data.max_length=[16, 21]"]):
        with pytest.raises(SpecError, match=said):
            fitting.check_inputs(spec.load(file, [*fits, *more]))
    searched = ["search.model.adapter=[none, prefix]", "search.model.virtual_tokens=[5, 30]", "data.max_length=11"]
    with pytest.raises(SpecError, match="11 is more than the 10 tokens"):
        fitting.check_inputs(spec.load(file, searched))
    some = (
        "none, data.max_length: 40",
        "prompt, data.max_length: 20",
        "prompt, model.virtual_tokens: 5, data.max_length: 35",
    )
    points = f"points: [{', '.join(f'{{model.adapter: {one}}}' for one in some)}]\n"
    file.write_text(file.read_text().partition("search:")[0] + points)
    assert fitting.check_inputs(spec.load(file))


def test_checkpointing_and_a_prefix_are_refused(tmp_path: Path) -> None:
    """Blocks that are computed anew are not given the keys and values again, and train without them."""
    with pytest.raises(SpecError, match=r"gradient_checkpointing loses the keys and values of adapter prefix"):
        spec.load(pets.save(tmp_path), ["model.adapter=prefix", "training.gradient_checkpointing=true"])
