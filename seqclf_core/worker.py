"""A process that does runs for somebody else: ``python -m seqclf_core.worker``, JSON Lines in and out.

In:   {"do": "run", "config": {...}, "folder": "...", "cache": "..."}, then {"do": "go"} or
      {"do": "stop"} after each event of it.
Out:  the events of the run; {"event": "stopped"} after a stop; {"event": "failed", "reason": ...};
      {"event": "no_room", "reason": ...} where the disk takes no more, which is no fault of the run.

A worker is pure: it knows no tracker and no tuner. End-of-file on its input means that its owner is gone; it
then stops at once, whatever it is doing, since all that matters is in the checkpoint.
"""

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO

from seqclf_core.config import RunConfig
from seqclf_core.errors import NotFiniteError, UserError, is_disk_full


def serve(requests: IO[str], replies: IO[str]) -> None:
    """Do the runs that come in, one after another, until the input ends."""
    from seqclf_core.run import run  # torch: seconds, paid before the first run comes

    incoming: queue.Queue[dict[str, object]] = queue.Queue()
    threading.Thread(target=_listen, args=(requests, incoming), daemon=True).start()

    def send(message: str) -> None:
        replies.write(message + "\n")
        replies.flush()

    send(json.dumps({"event": "ready"}))
    while True:
        request = incoming.get()
        try:
            config = RunConfig.model_validate(request["config"])
            stream = run(config, Path(str(request["folder"])), Path(str(request["cache"])))
            for event in stream:
                send(event.model_dump_json())
                if incoming.get()["do"] == "stop":
                    stream.close()  # type: ignore[attr-defined]  # an iterator to callers, a generator in truth
                    send(json.dumps({"event": "stopped"}))
                    break
        except Exception as error:
            # The owner goes on with other runs; what this one died of is its reason.
            known = isinstance(error, NotFiniteError | UserError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            send(json.dumps({"event": "no_room" if is_disk_full(error) else "failed", "reason": reason}))


def _listen(requests: IO[str], incoming: "queue.Queue[dict[str, object]]") -> None:
    for line in requests:
        incoming.put(json.loads(line))
    os._exit(0)


def main() -> None:
    """Serve on standard input and output; what libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
