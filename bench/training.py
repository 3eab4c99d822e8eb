"""What a trial's training costs: hpo's objective beside a plain torch loop and transformers' Trainer, in CPU seconds.

MiniLM on rows of several headlines each, the contenders in turns, one thread, fp32; validation once an epoch; dropout
as the model has it. Each measurement is appended to a file at once, and one that stands there is not made again, so
that a long run may be cut in pieces.
Run: python -m bench.training [--rows 200] [--epochs 3] [--frozen 0 2 4 6] [--times 3]
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    get_linear_schedule_with_warmup,
)

from objectives import data, lean, settings, sources, trial
from objectives.cache import Cache
from objectives.host import Host

HEADLINES = Path(__file__).parents[1] / "studies" / "data" / "news.csv"
PIECES = {name: piece for name, piece in lean._PIECES.items() if name != "attention_in_fp32"}  # bf16 alone has it
BATCH = 16


class Work:
    """The rows, in a folder of their own, and what each contender does with them."""

    def __init__(self, folder: Path, rows: int, epochs: int) -> None:
        self.folder, self.epochs = folder, epochs
        self.path = _rows(folder / "rows.csv", rows + 64)
        self.rows = rows

    def settings(self, frozen: int) -> settings.Transfer:
        """Our settings, and by them everybody's."""
        found = settings.parse(
            {
                "task": "text-classification",
                "model": {"name": "minilm", "frozen_layers": frozen},
                "data": {"path": str(self.path), "split": {"train": self.rows, "valid": 64, "test": 0}},
                "training": {"epochs": self.epochs, "batch_size": BATCH, "seed": 0, "precision": "fp32"},
            }
        )
        assert isinstance(found, settings.Transfer)  # noqa: S101
        return found

    def ours(self, frozen: int, cache: Cache | None, *pieces: str) -> None:
        """The objective with these pieces, and the cache if any."""
        lean._PIECES.clear()
        lean._PIECES.update({name: PIECES[name] for name in pieces})
        trial.run(self.settings(frozen), lambda _: None, host=Host("cpu", 1, cache=cache))

    def first(self, frozen: int, *pieces: str) -> None:
        """The objective with a cache that is empty: a study's first trial."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            self.ours(frozen, Cache(Path(folder)), *pieces)

    def plain(self, frozen: int) -> None:
        """Forward, backward, step; frozen blocks in training mode, as most loops leave them."""
        model, tokenizer, splits = self._prepared(frozen)
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(learning, lr=5e-5, weight_decay=0.01)
        batches = [splits["train"][at : at + BATCH] for at in range(0, self.rows, BATCH)]
        schedule = get_linear_schedule_with_warmup(optimizer, 0, len(batches) * self.epochs)
        collate = DataCollatorWithPadding(tokenizer)
        for _ in range(self.epochs):
            model.train()
            for rows in batches:
                model(**collate(rows)).loss.backward()
                clip_grad_norm_(learning, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            model.eval()
            with torch.no_grad():
                for at in range(0, len(splits["valid"]), 64):
                    batch = collate(splits["valid"][at : at + 64])
                    cross_entropy(model(**batch).logits, batch["labels"])

    def trainer(self, frozen: int) -> None:
        """transformers' Trainer with its own defaults."""
        model, tokenizer, splits = self._prepared(frozen)
        arguments = TrainingArguments(
            output_dir=str(self.folder / "trainer"),
            num_train_epochs=self.epochs,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=64,
            weight_decay=0.01,
            eval_strategy="epoch",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            logging_strategy="no",
            dataloader_pin_memory=False,
        )
        collate = DataCollatorWithPadding(tokenizer)
        Trainer(
            model, arguments, data_collator=collate, train_dataset=splits["train"], eval_dataset=splits["valid"]
        ).train()

    def _prepared(self, frozen: int) -> tuple[Any, Any, dict[str, list[dict[str, Any]]]]:
        chosen = self.settings(frozen)
        where = sources.find(chosen.model).where
        splits, tokenizer = data.load(chosen.data, 0), AutoTokenizer.from_pretrained(where)
        classes = data.classes(splits, "label")
        model = AutoModelForSequenceClassification.from_pretrained(where, num_labels=len(classes))
        if frozen:
            for part in (model.bert.embeddings, *model.bert.encoder.layer[:frozen]):
                part.requires_grad_(False)
        found = {}
        for name, table in (("train", splits.train), ("valid", splits.valid)):
            tokens = tokenizer(list(table.column("text")), truncation=True, max_length=128)["input_ids"]
            labels = [classes.index(label) for label in table.column("label")]
            found[name] = [{"input_ids": row, "labels": label} for row, label in zip(tokens, labels, strict=True)]
        return model, tokenizer, found


def contenders(work: Work, frozen: int, cache: Cache) -> Iterator[tuple[str, Callable[[], None]]]:
    """Who is measured, by name; ours loses one piece after the other."""
    yield "plain torch loop", partial(work.plain, frozen)
    yield "transformers' Trainer", partial(work.trainer, frozen)
    yield "hpo", partial(work.ours, frozen, cache, *PIECES)
    for piece in PIECES:
        yield f"hpo but for `{piece}`", partial(work.ours, frozen, cache, *(name for name in PIECES if name != piece))
    if frozen:
        yield "hpo, first trial: the cache is built", partial(work.first, frozen, *PIECES)
        yield "hpo without a cache", partial(work.ours, frozen, None, *PIECES)
    yield "hpo without a cache and pieces", partial(work.ours, frozen, None)


def measured(work: Work, depths: list[int], times: int, kept: Path) -> dict[tuple[str, int], list[float]]:
    """CPU seconds by contender and depth; appended to a file as they come."""
    found: dict[tuple[str, int], list[float]] = {}
    for line in kept.read_text("utf-8").splitlines() if kept.exists() else ():
        row = json.loads(line)
        if (row["rows"], row["epochs"]) == (work.rows, work.epochs):
            found.setdefault((row["contender"], row["frozen"]), []).append(row["seconds"])
    cache = Cache(work.folder / "cache", trials=100)
    for turn in range(times):
        for frozen in depths:
            for name, run in contenders(work, frozen, cache):
                cell = found.setdefault((name, frozen), [])
                if len(cell) > turn:
                    continue
                if name.startswith("hpo") and frozen and not cell:
                    work.ours(frozen, cache, *PIECES)  # what a study's first trial leaves to all others
                gc.collect()
                began = time.process_time()
                run()
                cell.append(time.process_time() - began)
                row = {"contender": name, "frozen": frozen, "rows": work.rows, "epochs": work.epochs}
                with kept.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({**row, "seconds": cell[-1]}) + "\n")
    return found


def _rows(path: Path, rows: int) -> Path:
    """Texts of one to five headlines, with the category of the first."""
    with HEADLINES.open(encoding="utf-8") as stream:
        headlines = list(csv.DictReader(stream))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for number in range(rows):
            some = [headlines[(number * 3 + more) % len(headlines)] for more in range(1 + number * 7 % 5)]
            writer.writerow([f"{number} " + " ".join(each["title"] for each in some), some[0]["category"]])
    return path


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--frozen", type=int, nargs="+", default=[0, 2, 4, 6])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "hpo-bench-training.jsonl")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="hpo-bench-") as folder:
        work = Work(Path(folder), options.rows, options.epochs)
        work.ours(6, None)  # imports are nobody's
        found = measured(work, options.frozen, options.times, options.keep)
    print("| CPU s |", " | ".join(f"frozen {depth}" for depth in options.frozen), "|")
    print("|---|" + "---|" * len(options.frozen))
    for name in dict.fromkeys(name for name, _ in found):
        cells = [found.get((name, depth), []) for depth in options.frozen]
        print(f"| {name} |", " | ".join(f"{median(cell):.2f}" if cell else "" for cell in cells), "|")


if __name__ == "__main__":
    main()
