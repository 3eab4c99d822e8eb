"""Study files: what they mean, and that nothing is lost between file, database and `hpo check`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo import spec
from hpo.errors import SpecError
from hpo.methods import PRUNERS, SAMPLERS
from hpo.space import Categorical, Float, Int
from hpo.spec import StudySpec
from objectives.settings import Transfer, get

PETS = """\
study: pets
objective:
  task: text-classification
  model: tiny
  data: pets.csv
search:
  training.learning_rate: {low: 1e-5, high: 1e-3, log: true}
  training.batch_size: [8, 16]
  model.dropout: {low: 0.0, high: 0.4, step: 0.1}
  model.frozen_layers: {low: 1, high: 4}
"""
Load = Callable[..., StudySpec]


@pytest.fixture(name="load")
def _load(tmp_path: Path) -> Load:
    def load(*overrides: str, text: str = PETS) -> StudySpec:
        (tmp_path / "pets.yaml").write_text(text, encoding="utf-8")
        return spec.load(tmp_path / "pets.yaml", overrides)

    return load


def test_defaults(load: Load) -> None:
    found = load()
    assert (found.metric, found.direction, found.trials, found.seed) == ("val_loss", "minimize", 20, 0)
    assert (found.max_attempts, found.enqueue, found.enqueue_defaults) == (3, (), True)
    assert (found.sampler.kind, found.pruner.kind) == ("tpe", "percentile")


def test_a_byte_order_mark_is_passed_over(load: Load) -> None:
    assert load(text=f"\ufeff{PETS}").study == "pets"


def test_a_bare_word_stands_for_the_leading_field(load: Load) -> None:
    found = load("sampler=random", "pruner=none")
    assert isinstance(found.objective, Transfer)
    assert (found.objective.task.kind, found.objective.model.name) == ("text-classification", "tiny")
    assert found.objective.data.path == "pets.csv"
    assert (found.sampler.kind, found.pruner.kind) == ("random", "none")


def test_the_search_space_keeps_its_order_and_types(load: Load) -> None:
    assert list(load().search.items()) == [
        ("training.learning_rate", Float(1e-5, 1e-3, log=True)),
        ("training.batch_size", Categorical((8, 16))),
        ("model.dropout", Float(0.0, 0.4, step=0.1)),
        ("model.frozen_layers", Int(1, 4)),
    ]


def test_direction_follows_the_metric(load: Load) -> None:
    assert load("metric=f1_macro").direction == "maximize"


def test_a_grid_has_as_many_trials_as_points(load: Load) -> None:
    found = load("sampler=grid", "search={training.batch_size: [8, 16], model.dropout: [0.1, 0.2, 0.3]}")
    assert (found.trials, found.enqueue_defaults, found.defaults) == (6, False, None)
    assert load("sampler=grid", "search={training.batch_size: [8, 16]}", "trials=1").trials == 1


def test_the_first_trial_has_the_defaults_that_lie_in_their_ranges(load: Load) -> None:
    assert load().defaults == {"training.learning_rate": 5e-5, "training.batch_size": 16}
    assert load("enqueue_defaults=false").defaults is None
    assert load("search={model.frozen_layers: [3]}").defaults is None


@pytest.mark.parametrize(
    ("text", "address", "value"),
    [
        ("training.epochs=1", "training.epochs", 1),
        ("objective.training.epochs=1", "training.epochs", 1),
        ("training.learning_rate=1e-2", "training.learning_rate", 0.01),
        ("model.frozen_layers=2", "model.frozen_layers", 2),  # beside the bare word `model: tiny`
        ("objective.model.frozen_layers=2", "model.frozen_layers", 2),
        ("model.frozen_layers=2", "model.name", "tiny"),
        ("data.label=on", "data.label", "on"),
        ("data.split.valid=0.1", "data.split.valid", 0.1),
        ("model.name=a=b", "model.name", "a=b"),
        ("model={name: other}", "model.name", "other"),
    ],
)
def test_an_override_of_the_objective(load: Load, text: str, address: str, value: object) -> None:
    assert get(load(text).objective, address) == value


def test_an_override_of_the_rest_of_the_file(load: Load) -> None:
    found = load(
        "trials=5",
        "study=others",
        "sampler.n_startup_trials=3",
        "pruner={kind: patient, patience: 1, wrapped: asha}",
        "pruner.wrapped.reduction_factor=4",
        "search.training.learning_rate.high=1e-2",
        "search.model.dropout={low: 0.1, high: 0.3}",
        "search.training.weight_decay=[0.0, 0.1]",
    )
    assert (found.trials, found.study) == (5, "others")
    options: Any = found.sampler, found.pruner
    assert (options[0].n_startup_trials, options[1].wrapped.reduction_factor) == (3, 4)
    assert found.search["training.learning_rate"] == Float(1e-5, 1e-2, log=True)
    assert found.search["model.dropout"] == Float(0.1, 0.3)
    assert list(found.search)[-1] == "training.weight_decay"


def test_a_range_is_taken_out_by_null(load: Load) -> None:
    left = [*load().search]
    assert [*load("search.training.batch_size=null").search] == [name for name in left if name != "training.batch_size"]
    with pytest.raises(SpecError, match=r"--set search\.training\.batch: is not searched; .*training\.batch_size"):
        load("search.training.batch=null")


def test_an_override_of_a_simulated_study(load: Load) -> None:
    found = load("simulated.noise=0.1", text="study: a\nobjective: {simulated: {}}\nsearch: {simulated.dropout: [0.1]}")
    assert get(found.objective, "simulated.noise") == 0.1


def test_queued_parameters_take_the_types_of_their_settings(load: Load) -> None:
    found = load("enqueue=[{model.dropout: 0}, {training.batch_size: 8, model.frozen_layers: 2}]")
    assert found.enqueue == ({"model.dropout": 0.0}, {"training.batch_size": 8, "model.frozen_layers": 2})
    assert isinstance(found.enqueue[0]["model.dropout"], float)


@pytest.mark.parametrize("name", ["bert-news_2.1", "Übung", "新闻", "समाचार", "9lives", "a" * 100])
def test_a_name_in_any_script(load: Load, name: str) -> None:
    assert load(f"study={name}").study == name


EVERYTHING = [
    *(f"sampler={kind}" for kind in SAMPLERS if kind != "grid"),
    *(f"pruner={kind}" for kind in PRUNERS if kind not in ("percentile", "patient", "threshold")),
    "pruner={kind: percentile, percentile: 25}",
    "pruner={kind: patient, patience: 1, wrapped: {kind: median, n_warmup_steps: 1}}",
    "pruner={kind: threshold, upper: 2.5}",
    "sampler={kind: qmc, qmc_type: halton, scramble: false}",
    "search={training.learning_rate: {low: 1e-5, high: 1e-3, log: true, points: 3}}",
    "search={training.batch_size: {low: 8, high: 64, step: 8}, model.pretrained: [true, false]}",
    "search={model.dropout: [null, 0.1], data.text: ['no', '1', '1e-5', 'true', 'a: b']}",
    "enqueue=[{training.batch_size: 8}]",
    "data.label='1e-5'",
    "data.text='true'",
    "model.name=' odd: \"name\" # é'",
]


@pytest.mark.parametrize("text", EVERYTHING)
def test_nothing_is_lost_on_the_way_through_the_database(load: Load, text: str) -> None:
    found = load(text)
    again = StudySpec.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    assert list(again.search) == list(found.search)


@pytest.mark.parametrize("text", EVERYTHING)
def test_the_rendered_study_reads_back_the_same(load: Load, text: str) -> None:
    found = load(text)
    again = load(text=spec.render(found))
    assert again == found
    assert list(again.search) == list(found.search)


def test_the_rendered_study_says_the_defaults(load: Load) -> None:
    lines = spec.render(load()).splitlines()
    assert lines[0] == "study: pets"
    assert {"    epochs: 3", "trials: 20", "  n_startup_trials: 10", "max_attempts: 3"} <= set(lines)
    assert "  training.learning_rate: {low: 1e-05, high: 0.001, log: true}" in lines
    assert "null" not in " ".join(line for line in lines if "split" not in line)


def test_a_kept_study_that_is_wrong_is_named() -> None:
    with pytest.raises(SpecError, match=r"^study pets: objective: is missing; add it"):
        StudySpec.from_dict({"study": "pets", "search": {}})


def test_a_companion_study_is_read_from_the_database_only(load: Load) -> None:
    assert StudySpec.from_dict(load().to_dict() | {"study": "pets@promote"}).study == "pets@promote"
    with pytest.raises(SpecError, match="has '@' in it"):
        StudySpec.from_dict(load().to_dict() | {"study": "pets@promote@promote"})


def test_settings_of_a_trial(load: Load, tmp_path: Path) -> None:
    settings: Any = spec.settings_for(load("seed=7"), {"training.learning_rate": 1e-4, "model.frozen_layers": 2})
    assert (settings.training.learning_rate, settings.model.frozen_layers) == (1e-4, 2)
    assert settings.training.seed == 7
    assert settings.data.path == str(tmp_path / "pets.csv")


def test_a_seed_of_the_trial_itself_stays(load: Load) -> None:
    settings: Any = spec.settings_for(load("seed=7", "training.seed=3"), {})
    assert settings.training.seed == 3


@pytest.mark.parametrize(
    ("text", "address", "path"),
    [
        ("data.path=a/b.csv", "data.path", "ROOT/a/b.csv"),
        ("data.path=/a/b.csv", "data.path", "/a/b.csv"),
        ("data.path=s3://bucket/b.csv", "data.path", "s3://bucket/b.csv"),
        ("data={train: a.csv, valid: b.csv}", "data.valid", "ROOT/b.csv"),
        ("data={hub: glue, train: train}", "data.train", "train"),
        ("model.name=../models/mine", "model.name", "ROOT/../models/mine"),
        ("model.name=org/name", "model.name", "org/name"),
    ],
)
def test_relative_paths_count_from_the_study_or_the_data_root(
    load: Load, tmp_path: Path, text: str, address: str, path: str
) -> None:
    found = load(text)
    assert get(spec.settings_for(found, {}), address) == path.replace("ROOT", str(tmp_path))
    assert get(spec.settings_for(found, {}, Path("/data")), address) == path.replace("ROOT", "/data")


def test_the_folder_of_a_relative_path_is_absolute(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    monkeypatch.chdir(tmp_path)
    assert spec.load(Path("pets.yaml")).folder == tmp_path


def test_what_is_tuned_is_named_by_the_models_of_the_study(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert spec.subject(load("model.name=./mine")) == f"text-classification with {tmp_path / 'mine'}"
    assert spec.subject(load("model.name=./mine"), tmp_path) == f"text-classification with {tmp_path / 'mine'}"
    with pytest.raises(
        SpecError, match=r"^study pets: objective\.model\.name: there is no folder '/data/mine'; right is"
    ):
        spec.subject(load("model.name=./mine"), Path("/data"))


def test_parameters_that_do_not_fit_are_named(load: Load) -> None:
    with pytest.raises(SpecError, match=r"^study pets: model\.dropout: 2 is too high; it must be below 1$"):
        spec.settings_for(load(), {"model.dropout": 2})


def test_a_point_of_ones_own(load: Load) -> None:
    found = load()
    point = spec.point(found, ["training.learning_rate=1e-4", "objective.model.frozen_layers=2"])
    assert point == {"training.learning_rate": 1e-4, "model.frozen_layers": 2}
    with pytest.raises(SpecError, match=r"^study pets: training\.batch_size: 9 is outside the search, one of 8, 16$"):
        spec.point(found, ["training.batch_size=9"])
    with pytest.raises(
        SpecError, match=r"^study pets: training\.epochs: is not searched; the search has training\.learning_rate, "
    ):
        spec.point(found, ["training.epochs=9"])
    with pytest.raises(SpecError, match=r"^training\.batch_size: is no address=value"):
        spec.point(found, ["training.batch_size"])


def test_differences_that_make_another_study(load: Load) -> None:
    new = load(
        "search.training.learning_rate.high=1e-2",
        "search.training.batch_size=[8]",
        "search.training.weight_decay=[0.0]",
        "training.epochs=4",
        "sampler=random",
        "metric=f1_macro",
        "seed=1",
    )
    assert spec.differences(load(), new) == [
        "objective.training.epochs: 3 -> 4",
        "search.training.learning_rate.high: 0.001 -> 0.01",
        "search.training.batch_size.choices: [8, 16] -> [8]",
        'sampler.kind: "tpe" -> "random"',
        "sampler.n_startup_trials: 10 -> (none)",
        "sampler.n_ei_candidates: 24 -> (none)",
        "sampler.multivariate: true -> (none)",
        "sampler.group: false -> (none)",
        "sampler.constant_liar: true -> (none)",
        'metric: "val_loss" -> "f1_macro"',
        "seed: 0 -> 1",
        "search.training.weight_decay.choices: (none) -> [0.0]",
    ]


def test_what_may_change_on_relaunch_is_no_difference(load: Load) -> None:
    new = load(
        "trials=50",
        "pruner=none",
        "enqueue=[{training.batch_size: 8}]",
        "max_attempts=9",
        "priority=2",
        "study=b",
        "stop={hours: 2}",
    )
    assert spec.differences(load(), new) == []


def test_a_long_list_of_choices_shows_its_difference(load: Load) -> None:
    old, new = ([*range(1, 20), last] for last in (20, 21))
    assert spec.differences(load(f"search.training.batch_size={old}"), load(f"search.training.batch_size={new}"))


def test_find() -> None:
    assert spec.find("bert-news") == spec.shipped()["bert-news"]
    assert spec.find(str(spec.shipped()["spam"])) == spec.shipped()["spam"]
    with pytest.raises(
        SpecError, match=r"^'bert-new' is no study file and no shipped study; did you mean bert-news\?$"
    ):
        spec.find("bert-new")
    with pytest.raises(SpecError, match=r"^x/bert-news\.yaml: no such study file$"):
        spec.find("x/bert-news.yaml")


@pytest.mark.parametrize("pruner", ["percentile", "median", "asha", "hyperband", "none"])
def test_a_trial_without_training_is_as_long_as_its_one_evaluation(load: Load, pruner: str) -> None:
    found = load("training.epochs=0", "training.evaluations_per_epoch=4", f"pruner={pruner}")
    assert (found.epochs, found.evaluations_per_epoch) == (1, 1)


def test_of_a_task_its_prompt_alone_is_searched(load: Load) -> None:
    searched = PETS + "  task.prompt: [null, 'a {text}']\n"
    assert load(text=searched).search["task.prompt"] == Categorical((None, "a {text}"))
    with pytest.raises(SpecError, match=r"search\.task\.kind: cannot be searched: trials of other tasks"):
        load(text=PETS + "  task.kind: [regression]\n")
    with pytest.raises(SpecError, match=r"search\.task\.prompt: choices: 'no place' has no place for the text"):
        load(text=PETS + "  task.prompt: ['no place']\n")


def test_what_learns_must_not_contradict_itself(load: Load) -> None:
    said = r"^--set model\.learn: with adapter lora no weights of the blocks learn, and learn names some"
    with pytest.raises(SpecError, match=said):
        load("model.learn=biases", "model.adapter=lora")
    searched = PETS + "  model.learn: [all, norms]\n  model.adapter: [none, lora]\n"
    with pytest.raises(SpecError, match="with adapter lora no weights of the blocks learn"):
        load(text=searched)


def test_low_rank_settings_are_searched_where_no_adapter_is_set(load: Load) -> None:
    added = "  model.adapter: [none, lora]\n  model.lora.rank: [4, 16]\n  model.lora.targets: [all, query-value]\n"
    found = load(text=PETS + added)
    assert found.search["model.lora.rank"] == Categorical((4, 16))
