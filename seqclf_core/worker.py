"""A process that does runs for somebody else: ``python -m seqclf_core.worker``, JSON Lines in and out.

In:   {"do": "run", "config": {...}, "folder": "...", "cache": "..."}, then {"do": "go"} or
      {"do": "stop"} after each event but the last.
Out:  {"event": "ready"} once; then, for each request, what ``Slot`` answers to it.

A worker is pure: it knows no tracker and no tuner. End-of-file on its input means that the study's scheduler is
gone; it then stops at once, whatever it is doing, since all that matters is in the checkpoint.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO

import torch

from seqclf_core.slot import Slot


def serve(requests: IO[str], replies: IO[str]) -> None:
    """Do the runs that come in, one after another, until the input ends."""
    incoming: queue.Queue[dict[str, object]] = queue.Queue()
    threading.Thread(target=_listen, args=(requests, incoming), daemon=True).start()
    slot = Slot()
    reply = json.dumps({"event": "ready"})
    while True:
        replies.write(reply + "\n")
        replies.flush()
        request = incoming.get()
        match request["do"]:
            case "run":
                config = request["config"]
                assert isinstance(config, dict)
                reply = slot.run(config, Path(str(request["folder"])), Path(str(request["cache"])))
            case "go":
                reply = slot.go()
            case _:
                reply = slot.stop()


def _listen(requests: IO[str], incoming: queue.Queue[dict[str, object]]) -> None:
    for line in requests:
        incoming.put(json.loads(line))
    os._exit(0)


def main() -> None:
    """Serve on standard input and output; what libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
