"""Notes in the file that $FIRST_STEP names when a worker took its first optimizer step; for ``tests.bench_start``.

A Python that finds this folder on its path does so, if it is a worker. It waits for torch instead of importing it.
"""

import os
import sys
import threading
import time


def _watch(name: str) -> None:
    while True:
        module = sys.modules.get("torch.optim.optimizer")
        if module is not None and hasattr(module, "register_optimizer_step_post_hook"):
            break
        time.sleep(0.02)
    left = [name]

    def note(*_: object) -> None:
        if left:
            with open(left.pop(), "a") as file:  # noqa: PTH123
                file.write(f"{time.time()}\n")

    module.register_optimizer_step_post_hook(note)


if "seqclf_core.worker" in sys.orig_argv and "FIRST_STEP" in os.environ:
    threading.Thread(target=_watch, args=(os.environ["FIRST_STEP"],), daemon=True).start()
