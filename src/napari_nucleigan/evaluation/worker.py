"""A process that compares label files: a line of JSON in for each pair, a line of JSON out.

It ends when its input does, which is also what becomes of it when the program that started it dies.
"""

from __future__ import annotations

import json
import os
import sys

from napari_nucleigan.evaluation.comparing import PairTask, found_to_json

READY = "ready"
"""The first line out."""


def main() -> None:
    """Serve until the input ends."""
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print(READY, file=answers, flush=True)
    for line in sys.stdin.buffer:
        found = PairTask.from_json(json.loads(line))()
        print(json.dumps(found_to_json(found)), file=answers, flush=True)


if __name__ == "__main__":
    main()
