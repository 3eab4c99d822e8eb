"""A look at trials, in a process of its own: settings in, answers out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from hpo import config as configuration
from hpo import inputs
from hpo.spec import StudySpec
from objectives import settings as objectives
from objectives import trial as objective
from objectives.errors import ObjectiveError

ACTS: Mapping[str, Callable[..., Any]] = {"rehearse": objective.rehearse, "rate": objective.rate}


def main() -> int:
    """Read a study, an `act` with its `options`, and the settings of some trials as JSON; answer each of these with a
    line of JSON, `at` being when, or with its `error`.

    The exit code: 0 done, 1 after an error, 130 cut short.
    """
    config = configuration.load()
    asked = json.load(sys.stdin)
    host = inputs.host_for(config, StudySpec.from_dict(asked["study"]))
    try:
        for wanted in asked["settings"]:
            found = ACTS[asked["act"]](objectives.parse(wanted), host, **asked["options"])
            print(json.dumps({"at": time.time(), **asdict(found)}), flush=True)
    except ObjectiveError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
