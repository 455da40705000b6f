"""Commands as processes of their own, without seconds of imports for each: a server imports once, and forks.

    done = run([sys.executable, "-m", "studies.commands", "predict", ...], capture_output=True, text=True)
    with Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process: ...

Each is a process with its own id, environment, folder, files and signals, which ends as Python does. They share
what was imported before: a test of imports, or of what is read before them, starts a real Python. So does this
module, where the environment decides how Python starts. All workers of pytest use one server.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "torch", "sklearn.linear_model", "experiments.tracking.paths", "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store", "experiments.serving.predict", "experiments.serving.registry",
    "experiments.serving.serve", "experiments.tracking.sync", "experiments.run_experiment", "experiments.runner",
    "studies.engine.run_study", "studies.imdb", "studies.commands.study", "studies.commands.predict",
    "studies.commands.champion", "studies.commands.sync", "reports.write",
)  # fmt: skip
UNLIKE = ("LD_PRELOAD", "PYTHONPROFILEIMPORTTIME", "PYTHONUTF8", "LC_ALL", "LC_CTYPE", "LANG")
"""Where one of these is not what the server began with, a real Python starts."""
BEGUN = dict(os.environ)

_held: list[socket.socket] = []  # the server goes on while a worker of pytest holds one


class Popen(subprocess.Popen[Any]):
    """A ``subprocess.Popen`` whose ``python -m`` and ``python -c`` are copies of one that has imported already."""

    _end: RawIOBase | None = None

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, *more: Any) -> None:
        _, cwd, env, _, _, shell, *pipes = more[:12]
        new_session = more[17]
        environment = dict(os.environ if env is None else env)
        words = [] if isinstance(args, str | bytes) else [os.fspath(each) for each in args]
        plain = words[:1] == [sys.executable] and words[1:2] in (["-m"], ["-c"]) and not shell and not preexec_fn
        alike = all(environment.get(name) == BEGUN.get(name) for name in UNLIKE)
        if not (plain and alike and all(isinstance(word, str) for word in words)):
            super()._execute_child(args, executable, preexec_fn, close_fds, *more)  # type: ignore[misc]
            return
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite = pipes
        files = [own if own != -1 else given for own, given in ((p2cread, 0), (c2pwrite, 1), (errwrite, 2))]
        wanted = {
            "words": words[1:], "cwd": os.fspath(cwd or Path.cwd()), "env": environment, "session": new_session,
        }  # fmt: skip
        connection = connected()
        socket.send_fds(connection, [b"run"], files)
        connection.sendall(json.dumps(wanted).encode() + b"\n")
        self._end = connection.makefile("rb", buffering=0)
        connection.close()  # the file keeps it open
        self._child_created = True
        self.pid = int(self._end.readline())
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def _internal_poll(self, *args: Any, **named: Any) -> int | None:
        if self._end is None:
            return super()._internal_poll(*args, **named)  # type: ignore[misc, no-any-return]
        if self.returncode is None and self._waitpid_lock.acquire(False):  # type: ignore[attr-defined]
            try:
                pid, status = self._try_wait(os.WNOHANG) if self.returncode is None else (0, 0)
                if pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]
        return self.returncode

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if self._end is None:
            return super()._try_wait(flags)  # type: ignore[misc, no-any-return]
        with selectors.DefaultSelector() as selector:
            selector.register(self._end, selectors.EVENT_READ)
            if not selector.select(0 if flags else None):
                return 0, 0
        return self.pid, int(self._end.readline() or signal.SIGKILL)


def run(
    arguments: Sequence[str | Path], *, input: Any = None, capture_output: bool = False,
    timeout: float | None = None, check: bool = False, **named: Any,
) -> subprocess.CompletedProcess[Any]:  # fmt: skip
    """Do what ``subprocess.run`` does."""
    if input is not None:
        named["stdin"] = subprocess.PIPE
    if capture_output:
        named |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(list(arguments), **named) as process:
        try:
            said, errors = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, said, errors)
    if check:
        done.check_returncode()
    return done


def place() -> Path:
    """Return the folder of the server that the workers of this run of pytest share."""
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:12]
    return Path(BEGUN.get("TMPDIR", "/tmp")) / f"seqclf-forked-{os.getuid()}-{run_id}"


def connected() -> socket.socket:
    """Return a connection to the server, which is started if there is none."""
    folder = place()
    if not _held:
        folder.mkdir(mode=0o700, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            first = opened(folder)
            if first is None:
                with (folder / "said").open("w") as said:
                    server = subprocess.Popen(
                        [sys.executable, __file__, str(folder)], cwd=ROOT, env=BEGUN, start_new_session=True,
                        stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                    )  # fmt: skip
                while (first := opened(folder)) is None:
                    assert server.poll() is None, (folder / "said").read_text()
                    time.sleep(0.02)
        _held.append(first)
    connection = opened(folder)
    assert connection is not None, (folder / "said").read_text()
    return connection


def opened(folder: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(folder / "socket"))
    except OSError:
        connection.close()
        return None
    return connection


def serve(folder: Path) -> dict[str, Any] | None:
    """Answer until nobody holds a connection; in a copy, return what it is to become."""
    for name in IMPORTED:
        importlib.import_module(name)
        if name == "experiments.tracking.paths":
            sys.modules[name].set_mlflow_environment()
    gc.collect()
    gc.freeze()  # so that a copy need not copy what was imported
    waiting: dict[int, socket.socket] = {}
    woken, wake = socket.socketpair()
    woken.setblocking(False)
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "socket"))
    listening.listen(64)
    selector = selectors.DefaultSelector()
    selector.register(listening, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    holding: set[socket.socket] = set()
    while True:
        for key, _ in selector.select():
            ready: Any = key.fileobj
            if ready is listening:
                connection, _ = listening.accept()
                holding.add(connection)
                selector.register(connection, selectors.EVENT_READ)
            elif ready is woken:
                with suppress(BlockingIOError):
                    while woken.recv(4096):
                        pass
                reap(waiting)
            else:
                data, files, _, _ = socket.recv_fds(ready, 3, 3)
                selector.unregister(ready)
                holding.discard(ready)
                if not data:
                    ready.close()
                    if not holding:
                        shutil.rmtree(folder, ignore_errors=True)
                        return None
                    continue
                with ready.makefile("rb") as asked:
                    wanted = json.loads(asked.readline())
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for number, file in enumerate(files):
                        os.dup2(file, number)
                    selector.close()
                    for each in (listening, woken, wake, ready, *holding, *waiting.values()):
                        each.close()
                    for file in files:
                        if file > 2:
                            os.close(file)
                    return dict(wanted)
                for file in files:
                    os.close(file)
                ready.sendall(f"{pid}\n".encode())
                waiting[pid] = ready


def reap(waiting: dict[int, socket.socket]) -> None:
    """Tell how each process ended that has ended."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            connection = waiting.pop(pid)
            with suppress(OSError):
                connection.sendall(f"{status}\n".encode())
            connection.close()


def become(wanted: dict[str, Any]) -> None:
    """Be the process that was asked for, to its end."""
    os.environ.clear()
    os.environ.update(wanted["env"])
    if wanted["session"]:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored in what runs in the background
    os.chdir(wanted["cwd"])
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    for name, file, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        stream = open(file, "w", errors=errors, closefd=False)  # noqa: SIM115
        stream.reconfigure(line_buffering=file == 2 or os.isatty(file), write_through=unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    kind, what, *arguments = wanted["words"]
    sys.orig_argv = [sys.executable, *wanted["words"]]
    sys.argv = [kind, *arguments]
    sys.path[0] = wanted["cwd"] if kind == "-m" else ""
    for entry in filter(None, reversed(os.environ.get("PYTHONPATH", "").split(os.pathsep))):
        sys.path.insert(1, entry)
        if (Path(entry) / "sitecustomize.py").exists():
            runpy.run_path(str(Path(entry) / "sitecustomize.py"))
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(what, "<string>", "exec"), main.__dict__)


def end(wanted: dict[str, Any]) -> None:
    """Be the process that was asked for; end as Python does, but for the modules, which go with the process."""
    status: Any = 0
    try:
        become(wanted)
    except SystemExit as error:
        status = error.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except KeyboardInterrupt:
        raise
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    if (asked := serve(Path(sys.argv[1]))) is not None:
        end(asked)
