"""Whether hpo's losses are the plain loop's: many seeds of both, on average.

Both draw head, batches and dropout from the seed, each in its own way, so that only the means can agree. The plain
loop's trial with all blocks frozen takes a minute, of which its head takes a second: here it trains on the states that
its frozen blocks give, computed once in eval mode, and is otherwise the loop of `bench.peers`.

Run: python -m bench.seeds [--seeds 12] [--frozen 6] [--rows 1000 --valid 500 --epochs 3] [--headlines TABLE]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from transformers import get_linear_schedule_with_warmup
from transformers.utils import logging

from bench import texts
from bench.full import REST
from bench.peers import EVALUATED_AT_ONCE, Contest, Point
from objectives.cache import Cache

ALL = 6
"""The blocks of the model."""


def main() -> None:
    """Print a table of both means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--frozen", type=int, default=ALL, choices=range(ALL + 1), help="blocks")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--valid", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--headlines", type=Path, default=texts.HEADLINES, help="a table with title and category")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    print("| validation loss, mean of seeds (standard error) | plain loop | hpo |\n|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="hpo-bench-") as folder:
        path = texts.joined(Path(folder) / "rows.csv", options.rows + options.valid, options.headlines)
        contest = Contest(path, options.rows, options.valid, options.epochs, Path(folder))
        cache = Cache(Path(folder) / "cache", depths=tuple({options.frozen} - {0}), trials=options.seeds)
        rows = {name: states(contest, name) for name in ("train", "valid")} if options.frozen == ALL else {}
        for rest in REST:
            points = [Point(options.frozen, *rest, seed) for seed in range(options.seeds)]
            ours = [contest.hpo(point, cache).val_loss for point in points]
            plain = [trained(contest, point, rows) if rows else contest.plain(point).val_loss for point in points]
            which = f"frozen {options.frozen}, learning rate {rest[0]:g}, {len(points)} seeds"
            print(f"| {which} | {said(plain)} | {said(ours)} |", flush=True)


def said(losses: Sequence[float]) -> str:
    """The mean, and how far it may be from that of all seeds."""
    return f"{mean(losses):.4f} ({stdev(losses) / len(losses) ** 0.5:.4f})"


@torch.no_grad()
def states(contest: Contest, name: str) -> tuple[Tensor, Tensor]:
    """The last state of each row's first token [rows, width], and its label [rows]."""
    point = Point(ALL, *REST[0])
    model, splits, found = contest.model(point).eval(), contest.splits(point), list[tuple[Tensor, Tensor]]()
    for at in range(0, len(splits[name]), EVALUATED_AT_ONCE):
        batch = splits["collate"]([dict(row) for row in splits[name][at : at + EVALUATED_AT_ONCE]])
        labels = batch.pop("labels")
        found.append((model.bert(**batch).last_hidden_state[:, 0], labels))
    both = zip(*found, strict=True)
    return torch.cat(next(both)), torch.cat(next(both))


def trained(contest: Contest, point: Point, rows: dict[str, tuple[Tensor, Tensor]]) -> float:
    """The validation loss after the last epoch of the plain loop, on these states."""
    model = contest.model(point)
    learning = [*model.bert.pooler.parameters(), *model.classifier.parameters()]
    optimizer = torch.optim.AdamW(learning, lr=point.learning_rate, weight_decay=0.01)
    steps = contest.epochs * -(-contest.train // point.batch_size)
    schedule = get_linear_schedule_with_warmup(optimizer, round(point.warmup_ratio * steps), steps)

    def loss(inputs: Tensor, labels: Tensor) -> Any:
        pooled = torch.tanh(model.bert.pooler.dense(inputs))
        return cross_entropy(model.classifier(model.dropout(pooled)), labels)

    inputs, labels = rows["train"]
    model.train()
    for epoch in range(contest.epochs):
        order = torch.randperm(contest.train, generator=torch.Generator().manual_seed(point.seed + epoch))
        for chosen in order.split(point.batch_size):
            loss(inputs[chosen], labels[chosen]).backward()
            clip_grad_norm_(learning, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        return float(loss(*rows["valid"]))


if __name__ == "__main__":
    main()
