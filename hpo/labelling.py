"""Labels for texts in a process of its own: texts in, predictions out (`python -m hpo.labelling`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hpo import config as configuration
from objectives import settings
from objectives import trial as objective
from objectives.errors import ObjectiveError
from objectives.host import Host


def main() -> int:
    """Read a model's folder and texts as JSON; answer with a label and a probability for each, or with an `error`.

    In place of a folder, `settings` and `names` are those of an objective and of its classes: nothing is trained then.

    The exit code: 0 done, 1 after an error, 130 cut short.
    """
    config = configuration.load()
    asked = json.load(sys.stdin)
    try:
        found = _found(asked, Host(allow_code=config.allow_code, models=config.models))
    except ObjectiveError as error:
        print(json.dumps({"error": str(error)}))
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps({"predictions": found}))
    return 0


def _found(asked: dict[str, Any], host: Host) -> list[Any]:
    if "model" in asked:
        model, source = Path(asked["model"]), asked.get("source", "rows")
        return [*objective.predict(model, asked["texts"], asked.get("pairs"), host, source=source)]
    wanted = settings.parse(asked["settings"])
    assert isinstance(wanted, settings.Transfer)  # noqa: S101 - a simulated one has no texts
    return [*objective.resemble(wanted, asked["texts"], asked["names"], host)]


if __name__ == "__main__":
    sys.exit(main())
