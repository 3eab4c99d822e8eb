"""What is wrong with a study file is said in one line: file, key path, the value seen, what would be right."""

from pathlib import Path

import pytest

from hpo import fitting, spec
from hpo.errors import SpecError

STUDY = """\
study: pets
objective:
  task: text-classification
  data: {path: rows.csv, split: {valid: 2, test: 0}}
  training: {epochs: 3, evaluations_per_epoch: 2}
search:
  training.learning_rate: {low: 1e-5, high: 1e-3, log: true}
  training.batch_size: [8, 16]
  training.warmup_ratio: {low: 0.0, high: 0.2}
"""
SAMPLERS = "tpe, random, grid, qmc, gp"
PRUNERS = "asha, hyperband, median, percentile, patient, threshold, none"
METRICS = (
    "val_loss, train_loss, accuracy, auc, precision_macro, precision_weighted, recall_macro, recall_weighted, "
    "f1_macro, f1_weighted, precision[CLASS], recall[CLASS], f1[CLASS]"
)
TEXTS = {
    b"": ": is empty; give a mapping with study, objective and search",
    b"# nothing\n": ": is empty; give a mapping with study, objective and search",
    b"- a\n": ": holds ['a']; give a mapping with study, objective and search",
    b"hello": ": holds 'hello'; give a mapping with study, objective and search",
    b"\xff\xfe": ": byte 0 is not UTF-8; save the file as UTF-8 text",
    b"study: a\nb: \x00": ":2: the character 0x0 is not allowed; remove it",
    b"study: a\n\tb: 1": ":2:1: a tab stands where YAML wants spaces; indent with spaces",
    b"study: [a": ":1:10: expected ',' or ']', but got '<stream end>'",
    b"study: a: b": ":1:9: mapping values are not allowed here",
    b"study: *x": ":1:8: found undefined alias 'x'",
    b"a: &a [*a]": ":1:4: found unconstructable recursive node",
    b"study: a\n---\nb: c": ":2:1: expected a single document in the stream but found another document",
    b"[" * 3000: ": brackets are nested too deeply",
    b"study: a\nstudy: b": ":2:1: study is given twice; keep one",
    b"a: {seed: 0, seed: 1}": ":1:14: seed is given twice; keep one",
    b"1: a": ":1:1: the key 1 is not text; put it in quotes",
    b"a: {true: b}": ":1:5: the key true is not text; put it in quotes",
    b"[a]: b": ":1:1: the key in brackets is not text; put it in quotes",
    b"study: !!python/object:os.system x": ":1:8: the tag !!python/object:os.system is not allowed; remove it",
    b"study: !!timestamp 2024-01-01": ":1:8: the tag !!timestamp is not allowed; remove it",
    b"study: !!int x": ": a value cannot be read; remove its !!tag or shorten it",
}

OVERRIDES = {
    # the command line itself
    "trials": "--set trials: is no address=value; write such as --set training.epochs=1",
    "trials=": "--set trials=: is no address=value; write such as --set training.epochs=1",
    "=3": "--set =3: is no address=value; write such as --set training.epochs=1",
    "trials=[3": "--set trials:1:3: expected ',' or ']', but got '<stream end>'",
    "modle=3": "--set modle: unknown setting; did you mean model?",
    "epoch=1": "--set epoch: unknown setting; hpo check prints the known ones",
    "enqueue.0=1": "--set enqueue.0: {'0': 1} is not a list",
    "search.training.batch_size.low=3": "--set search.training.batch_size.low: [8, 16] has no low; set the whole of it",
    # the study
    "study=2024": "--as or --set study: 2024 is not text; put it in quotes",
    "study=my pets": "--as or --set study: 'my pets' has ' ' in it; letters, digits and . _ - are right",
    "study=-pets": "--as or --set study: '-pets' must begin with a letter or digit",
    "study=''": "--as or --set study: '' must begin with a letter or digit",
    "study=pets@promote": "--as or --set study: 'pets@promote' has '@' in it, kept for companion studies; remove it",
    f"study={'a' * 101}": "--as or --set study: is longer than 100 characters; shorten it",
    "trials=0": "--trials or --set trials: 0 is too low; it must be at least 1",
    "trials=2.5": "--trials or --set trials: 2.5 is not a whole number",
    "seed=-1": "--set seed: -1 is too low; it must be at least 0",
    "seed=4294967296": "--set seed: 4294967296 is too high; it must be below 4294967296",
    "max_attempts=0": "--set max_attempts: 0 is too low; it must be at least 1",
    "metric=val_los": "--set metric: 'val_los' is unknown; did you mean val_loss?",
    f"metric={'a' * 99}": "--set metric: 'aaaaaaaaaaaa...aaaaaaaaaaaaa' is unknown; known: " + METRICS,
    "metric=5": "--set metric: 5 is not text; put it in quotes",
    "enqueue_defaults=yes": "--set enqueue_defaults: 'yes' is neither true nor false",
    "enqueue=5": "--set enqueue: 5 is not a list",
    "enqueue=[{training.learning_rat: 1}]": (
        "--set enqueue.0.training.learning_rat: is not searched; "
        "the search has training.learning_rate, training.batch_size, training.warmup_ratio"
    ),
    "enqueue=[{training.learning_rate: 1}]": (
        "--set enqueue.0.training.learning_rate: 1 is outside the search, 1e-05 to 0.001"
    ),
    # the objective
    "objective={}": "--set objective.task: is missing; add it\n--set objective.data: is missing; add it",
    "objective=5": "--set objective: 5 is not a mapping of settings",
    "objective={simulated: {speed: 1, noise: a}}": (
        "--set objective.simulated.noise: 'a' is not a number\n"
        "--set objective.simulated.speed: unknown setting; did you mean seed?"
    ),
    "task=classification": ("--set task.kind: 'classification' is unknown; did you mean text-classification?"),
    "model=null": "--set model: null is not a mapping of settings",
    "model.name=5": "--set model.name: 5 is not text; put it in quotes",
    "model.name=''": "--set model.name: is empty; give a name",
    "model.pretrained=no": "--set model.pretrained: 'no' is neither true nor false",
    "model.dropout=1": "--set model.dropout: 1 is too high; it must be below 1",
    "model.epochs=3": "--set model.epochs: unknown setting; did you mean training.epochs?",
    "training.epoch=3": "--set training.epoch: unknown setting; did you mean epochs?",
    "training.epochs=-1": "--set training.epochs: -1 is too low; it must be at least 0",
    "training.epochs=1.5": "--set training.epochs: 1.5 is not a whole number",
    "training.learning_rate=0": "--set training.learning_rate: 0 is too low; it must be above 0",
    "training.learning_rate=.nan": "--set training.learning_rate: nan is not a finite number",
    "training.learning_rate='1e-5'": "--set training.learning_rate: '1e-5' is not a number",
    "training.optimizer=adamw8": "--set training.optimizer: 'adamw8' is unknown; did you mean adamw?",
    "training.optimizer=lion": ("--set training.optimizer: 'lion' is unknown; known: adamw, adam, sgd, adafactor"),
    "data.split.valid=1.5": "--set data.split.valid: 1.5 is too high; it must be below 1",
    "data.split.valid=half": "--set data.split.valid: 'half' is not a number",
    "data.encoding=utf9": ("--set data.encoding: 'utf9' is no encoding that Python knows; did you mean utf_8?"),
    "data.delimiter=;;": ("--set data.delimiter: ';;' is no delimiter; right is one character such as ';', or tab"),
    "data.split={valid: 0.6, test: 0.5}": (
        "--set data.split: the shares add up to 1.1 and leave no rows to train on; lower valid or test"
    ),
    "data.hub=glue": (
        "--set data.hub: give one of: path (one file, divided by split), train + valid (+ test) files, or hub"
    ),
    # sampler and pruner
    "sampler=5": f"--set sampler: 5 names no sampler; give kind: {SAMPLERS}",
    "sampler={seed: 3}": f"--set sampler: {{'seed': 3}} names no sampler; give kind: {SAMPLERS}",
    "pruner=null": f"--set pruner: null names no pruner; give kind: {PRUNERS}",
    "sampler=tpee": "--set sampler.kind: 'tpee' is unknown; did you mean tpe?",
    "sampler=CmaEsSampler": (
        "--set sampler.kind: 'CmaEsSampler' is unknown; cmaes unpickles what stands in the database; use tpe or gp"
    ),
    "sampler=brute_force": ("--set sampler.kind: 'brute_force' is unknown; brute-force is called grid here; use grid"),
    "pruner=wilcoxon": (
        "--set pruner.kind: 'wilcoxon' is unknown; "
        "wilcoxon needs steps in any order, and evaluations of one training are not; use asha or median"
    ),
    "pruner=nop": "--set pruner.kind: 'nop' is unknown; nop is called none here; use none",
    "sampler.n_startup=3": "--set sampler.n_startup: unknown setting; did you mean n_startup_trials?",
    "sampler={kind: random, seed: 3}": "--set sampler.seed: unknown setting; known: kind",
    "sampler={kind: tpe, group: true, multivariate: false}": ("--set sampler: group: true needs multivariate: true"),
    "pruner={kind: asha, reduction_factor: 1}": "--set pruner.reduction_factor: 1 is too low; it must be at least 2",
    "pruner={kind: asha, min_resource: auto}": "--set pruner.min_resource: 'auto' is not a number",
    "pruner={kind: asha, min_resource: 0.3}": (
        "--set pruner.min_resource: 0.3 epochs end between two evaluations; "
        "raise evaluations_per_epoch or give whole epochs"
    ),
    "pruner={kind: asha, min_resource: 9}": "--set pruner.min_resource: 9 epochs are beyond a trial's 3; lower it",
    "pruner=patient": "--set pruner.patience: is missing; add it",
    "pruner=threshold": "--set pruner: threshold needs lower, upper or both",
    "pruner={kind: threshold, lower: 2, upper: 1}": "--set pruner: lower 2 is above upper 1; swap them",
    "pruner={kind: hyperband, min_resource: 2, max_resource: 1}": (
        "--set pruner: min_resource 2 is above max_resource 1; swap them"
    ),
    "pruner={kind: patient, patience: 1, wrapped: ashaa}": (
        "--set pruner.wrapped.kind: 'ashaa' is unknown; did you mean asha?"
    ),
    "pruner={kind: patient, patience: 1, wrapped: {kind: asha, min_resource: 7}}": (
        "--set pruner.wrapped.min_resource: 7 epochs are beyond a trial's 3; lower it"
    ),
    "sampler=grid": "pets.yaml: search.training.learning_rate: a grid needs choices, step or points",
}

SEARCHES = {
    "{}": "search: {} is no search space; give ranges by address",
    "null": "search: null is no search space; give ranges by address",
    "{training.learning_rat: [1]}": (
        "search.training.learning_rat: unknown setting; did you mean training.learning_rate?"
    ),
    "{learning_rate: [1]}": "search.learning_rate: unknown setting; did you mean training.learning_rate?",
    "{zzz: [1]}": "search.zzz: unknown setting; hpo check prints the known ones",
    "{model: [minilm]}": "search.model: is a group of settings; write an address such as model.name",
    "{data.path: [a, b]}": (
        "search.data.path: cannot be searched: trials on other rows or labels do not compare; make it another study"
    ),
    "{data.split.valid: [0.1]}": (
        "search.data.split.valid: cannot be searched: "
        "trials on other rows or labels do not compare; make it another study"
    ),
    "{data.clean.unicode: [none, nfkc]}": (
        "search.data.clean.unicode: cannot be searched: "
        "trials on other rows or labels do not compare; make it another study"
    ),
    "{task.kind: [x]}": (
        "search.task.kind: cannot be searched: trials of other tasks do not compare; make it another study"
    ),
    "{model.dropout: 0.1}": "search.model.dropout: 0.1 is no range; give low and high, or choices",
    "{model.dropout: {lo: 0, high: 0.5}}": "search.model.dropout.lo: unknown setting; did you mean low?",
    "{model.dropout: {low: 0}}": "search.model.dropout: needs low and high, or choices",
    "{model.dropout: {low: a, high: 0.5}}": "search.model.dropout.low: 'a' is not a number",
    "{model.dropout: {low: 0.5, high: 0.1}}": "search.model.dropout: low 0.5 is above high 0.1; swap them",
    "{model.dropout: {low: 0, high: 1.5}}": "search.model.dropout: high: 1.5 is too high; it must be below 1",
    "{model.dropout: {low: -1, high: 0.5}}": "search.model.dropout: low: -1.0 is too low; it must be at least 0",
    "{model.dropout: {low: 0, high: 0.5, log: true}}": (
        "search.model.dropout: low 0 has no logarithm; raise it above 0 or remove log"
    ),
    "{model.dropout: {low: 0.1, high: 0.5, log: true, step: 0.1}}": (
        "search.model.dropout: log and step are both given; keep one"
    ),
    "{model.dropout: {low: 0.1, high: 0.5, points: 2, step: 0.1}}": (
        "search.model.dropout: points and step are both given; keep one"
    ),
    "{model.dropout: {low: 0.1, high: 0.5, step: 0.3}}": (
        "search.model.dropout: steps of 0.3 from 0.1 miss high 0.5; lower it to 0.4"
    ),
    "{model.dropout: {low: 0.1, high: 0.5, step: 0}}": "search.model.dropout: step 0 is not above 0",
    "{model.dropout: {low: 0, high: 0.5, points: 1}}": (
        "search.model.dropout: points 1 spans no range; give at least 2"
    ),
    "{model.dropout: {low: 0, high: 0.5, choices: [0.1]}}": (
        "search.model.dropout: high and choices are both given; keep one"
    ),
    "{training.seed: {low: 0, high: 10000000000, points: 1000000000}}": (
        "search.training.seed: points 1000000000 is above 100000; lower it"
    ),
    "{model.dropout: {low: 0, high: 1.5}, model.frozen_layers: [1]}": (
        "search.model.dropout: high: 1.5 is too high; it must be below 1"
    ),
    "{model.dropout: []}": "search.model.dropout: choices is empty; give at least one",
    "{model.dropout: [0.1, 1.5]}": "search.model.dropout: choices: 1.5 is too high; it must be below 1",
    "{model.dropout: [0, 0.0]}": "search.model.dropout: choices gives 0.0 twice; keep one",
    "{training.optimizer: {low: 0, high: 1}}": (
        "search.training.optimizer: is no number, so it has no low and high; give choices"
    ),
    "{training.optimizer: [adamw, sdg]}": ("search.training.optimizer: choices: 'sdg' is unknown; did you mean sgd?"),
    "{training.batch_size: {low: 1.5, high: 3}}": (
        "search.training.batch_size: low 1.5 is not a whole number, as training.batch_size is"
    ),
    "{training.batch_size: {low: 1, high: 3, points: 5}}": (
        "search.training.batch_size: points 5 gives a whole number twice; lower it"
    ),
    "{training.batch_size: [8, 16.5]}": "search.training.batch_size: choices: 16.5 is not a whole number",
    "{training.warmup_steps: {low: 0, high: 9}, training.warmup_ratio: {low: 0, high: 0.2}}": (
        "search: training.warmup_steps 9 with training.warmup_ratio 0.2: "
        "training: warmup_ratio and warmup_steps are both set; keep one"
    ),
    "{training.epochs: [1, 3]}": (
        "search.training.epochs: a pruner compares trials of one length, and pruner is percentile; use pruner: none"
    ),
    "{training.evaluations_per_epoch: [1, 2]}": (
        "search.training.evaluations_per_epoch: "
        "a pruner compares trials of one length, and pruner is percentile; use pruner: none"
    ),
}

PAIRS = {
    ("training.warmup_steps=5", "search={training.warmup_ratio: {low: 0.0, high: 0.2}}"): (
        "search.training.warmup_ratio: high: warmup_ratio and warmup_steps are both set; keep one"
    ),
    ("sampler=grid", "search={model.dropout: [0.1, 0.2]}", "trials=3"): (
        "trials: 3 is above the grid's 2 points; remove trials"
    ),
    ("sampler=grid", "search={model.dropout: [0.1, 0.2]}", "enqueue_defaults=true"): (
        "enqueue_defaults: a grid runs its own points only; remove it"
    ),
    ("sampler=grid", "search={training.seed: {low: 1, high: 1000000}}"): (
        "search: the grid has 1000000 points; at most 100000 are tried: give fewer points"
    ),
    ("objective={simulated: {}}", "search={simulated.dropout: [0.1]}", "metric=f1[a]"): (
        "metric: 'f1[a]' names a class, and a simulated objective has none"
    ),
    ("objective={simulated: {}}", "search={simulated.evaluations: [1, 2]}"): (
        "search.simulated.evaluations: "
        "a pruner compares trials of one length, and pruner is percentile; use pruner: none"
    ),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pets.yaml").write_text(STUDY)


def said(*overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        spec.load(Path("pets.yaml"), overrides)
    return str(caught.value)


def test_the_study_itself_is_right() -> None:
    assert spec.load(Path("pets.yaml")).study == "pets"


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:30]))
def test_no_yaml_of_a_study(text: bytes) -> None:
    Path("pets.yaml").write_bytes(text)
    assert said() == f"pets.yaml{TEXTS[text]}"


@pytest.mark.parametrize("text", OVERRIDES)
def test_a_wrong_value(text: str) -> None:
    assert said(text) == OVERRIDES[text]


def test_the_file_is_blamed_for_what_it_had_before() -> None:
    Path("pets.yaml").write_text(
        STUDY.replace("epochs: 3", "epochs: -1").replace("rows.csv,", "rows.csv, train: a.csv,")
    )
    assert [line.partition(": give")[0] for line in said("data.max_length=8", "training.seed=-1").splitlines()] == [
        "pets.yaml: objective.data",
        "pets.yaml: objective.training.epochs: -1 is too low; it must be at least 0",
        "--set training.seed: -1 is too low; it must be at least 0",
    ]


@pytest.mark.parametrize("search", SEARCHES)
def test_a_wrong_search(search: str) -> None:
    assert said(f"search={search}") == f"--set {SEARCHES[search]}"


@pytest.mark.parametrize("overrides", PAIRS, ids=" ".join)
def test_values_that_do_not_go_together(overrides: tuple[str, ...]) -> None:
    assert said(*overrides).removeprefix("--trials or ") == f"--set {PAIRS[overrides]}"


def test_everything_that_is_wrong_is_said_at_once() -> None:
    Path("pets.yaml").write_text(
        "objective: {task: text-classification, data: rows.csv, training: {epochs: -1}}\n"
        "sampler: tpee\npruner: ashaa\nmodel: minilm\nepochs: 3\ntrial: 1\nmetric: val_los\n"
    )
    assert said().splitlines() == [
        "pets.yaml: study: is missing; add it",
        "pets.yaml: model: unknown setting; did you mean objective.model?",
        "pets.yaml: epochs: unknown setting; did you mean objective.training.epochs?",
        "pets.yaml: trial: unknown setting; did you mean trials?",
        "pets.yaml: search: is missing; add it, or points",
        "pets.yaml: metric: 'val_los' is unknown; did you mean val_loss?",
        "pets.yaml: objective.training.epochs: -1 is too low; it must be at least 0",
        "pets.yaml: sampler.kind: 'tpee' is unknown; did you mean tpe?",
        "pets.yaml: pruner.kind: 'ashaa' is unknown; did you mean asha?",
    ]


def test_every_wrong_range_is_said_at_once() -> None:
    lines = said(
        "search={model.dropout: [2], model.frozen_layers: [-1]}", "pruner={kind: asha, min_resource: 9}"
    ).splitlines()
    assert [line.split(":")[0] for line in lines] == ["--set search.model.dropout", "--set search.model.frozen_layers"]


def test_a_file_that_cannot_be_read() -> None:
    with pytest.raises(SpecError, match=r"^no\.yaml: cannot be read: no such file or directory$"):
        spec.load(Path("no.yaml"))


ROWS = "text,label\n" + "a dog,dog\na cat,cat\n" * 5

DATA = {
    (ROWS, "data.path=no.csv"): "objective.data.path: no such file: ",
    (ROWS, "data.text=txt"): "objective.data.text: ",
    (ROWS, "data.label=lable"): "objective.data.label: ",
    (ROWS, "data.group=owner"): "objective.data.group: ",
    (ROWS, "data.split.valid=10"): "objective.data.split: ",
    (ROWS.replace("cat", "dog"), "seed=0"): "objective.data.label: every training row has the label 'dog'",
    ("text,label\na,x\nb,y\n", "seed=0"): "objective.data.split: ",
    ("text,label\na,x\nb,y\nc,z\nd,w\n", "seed=0"): "objective.data.label: ",
    ("", "seed=0"): "objective.data.path: ",
    (ROWS, "metric=recall[bird]"): "metric: 'recall[bird]' names no class of label; known: cat, dog",
    (ROWS, "metric=recall[cta]"): "metric: 'recall[cta]' names no class of label; did you mean cat?",
}


@pytest.mark.parametrize(("rows", "override"), DATA, ids=lambda text: text[-30:])
def test_rows_that_do_not_fit(rows: str, override: str) -> None:
    Path("rows.csv").write_text(rows)
    found = spec.load(Path("pets.yaml"), [override])
    with pytest.raises(SpecError) as caught:
        fitting.check_inputs(found, source="pets.yaml")
    assert str(caught.value).startswith(f"pets.yaml: {DATA[rows, override]}")
    assert "\n" not in str(caught.value)


def test_rows_that_fit() -> None:
    Path("rows.csv").write_text(ROWS)
    fitting.check_inputs(spec.load(Path("pets.yaml"), ["metric=recall[cat]"]))


def test_rows_are_read_from_the_data_root(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "rows.csv").write_text(ROWS)
    found = spec.load(Path("pets.yaml"))
    fitting.check_inputs(found, tmp_path / "elsewhere")
    with pytest.raises(SpecError, match=r"^study pets: objective\.data\.path: no such file"):
        fitting.check_inputs(found)
