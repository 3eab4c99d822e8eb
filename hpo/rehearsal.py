"""A dry run in a process of its own: settings in, costs out (`python -m hpo.rehearsal`)."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

from hpo import config as configuration
from hpo import inputs
from hpo.spec import StudySpec
from objectives import settings as objectives
from objectives import trial as objective
from objectives.errors import ObjectiveError


def main() -> int:
    """Read a study and the settings of some of its trials as JSON; answer each of these with a line of JSON, `at` being
    when, or with its `error`.

    The exit code: 0 done, 1 after an error, 130 cut short.
    """
    config = configuration.load()
    asked = json.load(sys.stdin)
    host = inputs.host_for(config, StudySpec.from_dict(asked["study"]))
    try:
        for wanted in asked["settings"]:
            found = objective.rehearse(objectives.parse(wanted), host)
            print(json.dumps({"at": time.time(), **asdict(found)}), flush=True)
    except ObjectiveError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
