"""MLflow's own server, for as long as its owner lives: ``make ui`` starts it, with the arguments of ``mlflow``.

End-of-file on standard input means that the owner is gone, however that came about. MLflow's server is two
processes or more; they share this one's session, and go with it.
"""

import os
import runpy
import signal
import sys
import threading


def end_with_the_owner() -> None:
    """Wait for the end of standard input, then end this process and all that it started."""
    while os.read(0, 4096):  # not sys.stdin, whose lock an ending process would miss
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    if os.getpgrp() != os.getpid():
        sys.exit("This serves `make ui`, which gives it a session of its own.")
    threading.Thread(target=end_with_the_owner, daemon=True).start()
    runpy.run_module("mlflow", run_name="__main__", alter_sys=True)
