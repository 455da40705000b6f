"""The executor for many machines: one actor of a Ray cluster per slot (``ray_slot``), one call per event.

Ray restarts and retries nothing here: an actor that dies is a ``WorkerDied`` to the scheduler, which starts the
run again wherever there is room. The encoded reviews travel to each machine's cache once. Where RUNS is a folder
that all machines share, runs write into it; where it is not, the checkpoint of each evaluation and the files of an
ended run come back with the events.

Import this module after ``machines.prepare``: Ray reads the environment when it is imported.
"""

from __future__ import annotations

import logging
import secrets
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray._private import worker
from ray.exceptions import ActorDiedError, RayActorError, RayError

from seqclf_core.config import TrainConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.data.travel import Files, key_of, pack
from seqclf_core.errors import DataError, UserError
from seqclf_core.events import Finished, Saved
from seqclf_core.files import atomic_write
from seqclf_core.slot import environment
from studies.cluster.machines import WORKER_ENVIRONMENT, split_address
from studies.cluster.ray_slot import LIFE, About, RaySlot, read_files, write_files
from studies.engine.executors import DiskFull, Failed, Job, Message, Stopped, Unfit, WorkerDied, parse_message

BEAT_SECONDS = 10.0
"""Every slot hears this often that its study is still there."""
ORPHAN_SECONDS = 60.0
"""A slot that has heard nothing for so long ends itself: its study is gone, or thinks that it is."""
PROBE_SECONDS = 2.0
"""The head is asked this often for a connection."""
REFUSALS = 3
"""A head whose machine refuses so many connections in a row is gone."""
HEAD_SECONDS = 30.0
"""A head that cannot be reached for so long is gone, too; elsewhere, Ray would end this process after a minute."""
GONE = (
    "Nothing that was recorded is lost: start it again, or leave --ray (RAY=) out, and the same command goes on."
)


def connect(address: str) -> None:
    """Connect this process to a cluster that ``machines.prepare`` has made sure of.

    Raises:
        UserError: if it refuses the token, or this machine is no node of it.
    """
    # What matters is told here, in a line. Ray would print twenty of a raylet's log for every node that is lost.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        ray.init(
            address=address, log_to_driver=False, configure_logging=False,
            runtime_env={"env_vars": WORKER_ENVIRONMENT},
        )  # fmt: skip
    except Exception as error:  # of many kinds
        said = " ".join(str(error).split())
        if "Failed to connect" in said or "auth" in said.lower():
            reason = (
                "it refuses the token, or is no cluster. The right token is in the file that `seqclf head` made: "
                "copy it here and name it with --token (TOKEN=)"
            )
        else:
            reason = (
                f"{said[:300]} A study runs on a machine of the cluster: on its head, or where a node was started "
                f"(seqclf node --ray {address} --token FILE)"
            )
        raise UserError(f"the cluster at {address} cannot be used: {reason}") from error


@dataclass
class _Actor:
    """An actor, as the study knows it."""

    handle: Any
    about: About | None = None
    job: Job | None = None

    @property
    def name(self) -> str:
        return f"{self.about.host}, process {self.about.process}" if self.about else "a slot that is not ready"


class RayExecutor:
    """Actors of a cluster that this process is connected to."""

    def __init__(
        self,
        slots: int,
        address: str,
        folder: Path,
        train: TrainConfig | None = None,
        orphan_seconds: float = ORPHAN_SECONDS,
    ) -> None:
        """Ask the cluster for ``slots`` actors; they come as it has room for them.

        Args:
            slots: how many.
            address: of the cluster's head.
            folder: of the study; made where there is none. A slot that sees a file in it shares it.
            train: of the study's base; where its precision or kernel is "auto", a slot must be able to do the
                same as this machine.
            orphan_seconds: after which a slot that hears nothing ends itself.
        """
        self.notices: list[str] = []
        train = train or TrainConfig()
        named = {"bf16": train.precision, "own kernel": train.kernel}
        self._address, self._decided = address, {name for name, value in named.items() if value != "auto"}
        self._wanted = slots
        self._mark, self._secret = folder / "cluster.mark", secrets.token_hex(16)
        atomic_write(self._mark, self._secret)
        share = gpu_share(slots)
        actor = ray.remote(
            num_cpus=1, num_gpus=share, max_restarts=0, max_task_retries=0, concurrency_groups={LIFE: 1}
        )
        self._new: Any = lambda: actor(RaySlot).remote(orphan_seconds)
        self._here = environment()
        self._actors: list[_Actor] = []
        self._idle: deque[_Actor] = deque()
        self._busy: dict[str, _Actor] = {}
        self._refused: list[_Actor] = []
        """Kept alive, so that no other actor comes to where they are."""
        self._asked: dict[Any, tuple[_Actor, Any]] = {}
        """Pending call of an actor -> the actor, and the pending files of the answer."""
        self._waiting: deque[Job] = deque()
        self._local: deque[tuple[str, Message]] = deque()
        self._corpora: dict[str, Any] = {}
        self._stillborn = 0
        self._head_is_gone = False
        self._closed = threading.Event()
        self._last_words = LastWords(
            "error: the study's process has ended without a word, as Ray ends it when the head or this machine's "
            f"node is killed. {GONE}"
        )
        for _ in range(slots):
            self._spawn()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    @property
    def slots(self) -> int:
        """How many runs have room now; at least one, which waits for a slot."""
        return max(1, len(self._idle) + len(self._busy))

    def _beat(self) -> None:
        """Tell all actors that the study is still there, and see that the head is."""
        told, refused, seen = 0.0, 0, time.monotonic()
        while not self._closed.wait(PROBE_SECONDS):
            try:
                socket.create_connection(split_address(self._address), PROBE_SECONDS).close()
                refused, seen = 0, time.monotonic()
            except ConnectionRefusedError:
                refused += 1
            except OSError:
                refused = 0
            self._head_is_gone = refused >= REFUSALS or time.monotonic() - seen > HEAD_SECONDS
            if time.monotonic() - told > BEAT_SECONDS and not refused:
                told = time.monotonic()
                for actor in [*self._actors]:
                    with suppress(RayError):
                        actor.handle.beat.options(concurrency_group=LIFE).remote()

    def _spawn(self) -> None:
        actor = _Actor(self._new())
        self._actors.append(actor)
        self._asked[actor.handle.ready.remote(str(self._mark.absolute()), self._secret)] = (actor, None)

    # -- what the scheduler asks ---------------------------------------------------------------------------------

    def start(self, job: Job) -> None:
        """Begin a run in a free slot, or in the next one that is free."""
        if not self._idle:
            self._waiting.append(job)
            return
        try:
            corpus = load_corpus(job.config.data, job.cache)
        except DataError as error:
            self._local.append((job.key, Failed(str(error))))
            return
        key = key_of(corpus)
        if key not in self._corpora:
            self._corpora[key] = ray.put(pack(corpus))
        actor = self._idle.popleft()
        actor.job = job
        self._busy[job.key] = actor
        assert actor.about is not None
        left = read_files(job.folder) if not actor.about.shared else {}
        config = job.config.model_dump(mode="json")
        files = [ray.put(left)] if left else []
        self._ask(actor, actor.handle.run, config, str(job.folder), key, [self._corpora[key]], files)

    def _ask(self, actor: _Actor, method: Any, *arguments: object) -> None:
        line, files = method.options(num_returns=2).remote(*arguments)
        self._asked[line] = (actor, files)

    def answer(self, key: str, go: bool) -> None:
        """Let the run go on after an event, or stop it."""
        if key in self._busy:
            actor = self._busy[key]
            self._ask(actor, actor.handle.go if go else actor.handle.stop)

    def refuse(self, key: str, reason: str) -> None:
        """Drop the slot of a run, whose last event shows that it cannot do it; ``Unfit`` follows."""
        self._drop(self._busy[key], reason)
        self._local.append((key, Unfit(reason)))

    def kill(self, key: str) -> None:
        """End a run's actor at once; ``WorkerDied`` follows."""
        if key in self._busy:
            ray.kill(self._busy[key].handle)

    def close(self) -> None:
        """End all actors at once; doing it twice changes nothing."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._last_words.unsay()
        self._mark.unlink(missing_ok=True)
        for actor in self._actors:
            with suppress(RayError):
                ray.kill(actor.handle)
        ray.shutdown()

    # -- what comes back -----------------------------------------------------------------------------------------

    def messages(self, timeout: float) -> Iterator[tuple[str, Message]]:
        """Yield (key, message) for what came within ``timeout`` seconds.

        Raises:
            UserError: if the head of the cluster is gone, or no slot of it can do the study's runs.
        """
        while self._local:
            yield self._local.popleft()
        if self._head_is_gone:
            raise UserError(f"the head of the cluster at {self._address} is gone. {GONE}")
        asked = list(self._asked)
        if not asked:
            time.sleep(timeout)
            return
        ready, _ = ray.wait(asked, num_returns=1, timeout=timeout)
        if ready:  # and what else is there by now
            ready, _ = ray.wait(asked, num_returns=len(asked), timeout=0)
        for reference in ready:
            actor, files = self._asked.pop(reference)
            try:
                answer = ray.get(reference)
                brought = ray.get(files) if files is not None and _brings(answer) else None
            except RayActorError as error:
                yield from self._buried(actor, error)
                continue
            except RayError as error:  # such as an object that was lost with its node
                with suppress(RayError):
                    ray.kill(actor.handle)
                yield from self._buried(actor, error)
                continue
            if isinstance(answer, About):
                self._welcome(actor, answer)
            elif actor.job is not None:
                yield from self._said(actor, actor.job, answer, brought)

    def _said(self, actor: _Actor, job: Job, line: str, files: Files | None) -> Iterator[tuple[str, Message]]:
        message = parse_message(line)
        assert message is not None
        if files:
            write_files(job.folder, files)
        if isinstance(message, DiskFull):  # one machine's disk; that of the folder with all records says so itself
            message = Unfit(f"the disk is full ({message.reason})")
        if isinstance(message, Unfit):
            self._drop(actor, message.reason)
        elif isinstance(message, Failed | Stopped | Finished):
            del self._busy[job.key]
            self._free(actor)
        yield job.key, message

    def _welcome(self, actor: _Actor, about: About) -> None:
        self._stillborn = 0
        actor.about = about
        differs = [
            f"{name} is {about.environment.get(name)} there and {here} here"
            for name, here in self._here.items()
            if about.environment.get(name) != here and name not in self._decided
        ]
        if differs:
            self._drop(actor, "; ".join(differs))
        else:
            self._free(actor)

    def _free(self, actor: _Actor) -> None:
        actor.job = None
        self._idle.append(actor)
        while self._waiting and self._idle:
            self.start(self._waiting.popleft())

    def _drop(self, actor: _Actor, reason: str) -> None:
        """Do without a slot.

        Raises:
            UserError: if all that the cluster has room for are dropped.
        """
        if actor.job is not None:
            del self._busy[actor.job.key]
            actor.job = None
        self._refused.append(actor)
        self.notices.append(f"a slot is dropped ({actor.name}): {reason}")
        room = int(ray.cluster_resources().get("CPU", 0))
        if not self._idle and not self._busy and len(self._refused) >= min(self._wanted, room):
            raise UserError(
                f"No slot of the cluster can do the study's runs. The last one: {actor.name}: {reason}"
            )

    def _buried(self, actor: _Actor, error: Exception) -> Iterator[tuple[str, Message]]:
        """Replace an actor that is gone.

        Raises:
            UserError: if three actors in a row end by themselves before they are ready; shows their last words.
        """
        # Ray names as dead what a node reported dead. A node that cannot be reached any more reports nothing.
        lost = not isinstance(error, ActorDiedError) or "node" in _cause(error)
        reason = " ".join(str(error).split())
        if lost:
            with suppress(RayError):
                ray.kill(actor.handle)  # it may come back with its node
        self._actors.remove(actor)
        if actor in self._idle:
            self._idle.remove(actor)
        self._stillborn += actor.about is None and not lost
        if self._stillborn >= 3:
            raise UserError(
                f"Workers do not start on the cluster: {reason[-500:]}. Mend that on its machines, and run "
                "the same command again."
            )
        self._spawn()
        name = actor.name
        if lost:
            self.notices.append(f"a slot is lost ({name}); its run goes on where there is room")
        if actor.job is not None:
            del self._busy[actor.job.key]
            yield actor.job.key, WorkerDied(f"{name}: {_cause(error)[:200]}", lost)


class LastWords:
    """Says on standard error what this process cannot say any more, if it ends before ``unsay``."""

    def __init__(self, words: str) -> None:
        self._speaker = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r unsaid || echo "$1" >&2', "sh", words],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def unsay(self) -> None:
        """Let this process end without them; doing it twice changes nothing."""
        if self._speaker.poll() is None:
            self._speaker.communicate(b"unsaid\n")


def _brings(answer: object) -> bool:
    """Whether files may come with an answer."""
    return isinstance(answer, str) and isinstance(parse_message(answer), Saved | Finished)


def _cause(error: Exception) -> str:
    """Return what Ray says of an actor's death, without the lines that name the actor."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("\t")]
    return " ".join(lines[1:] or lines)


def slots_of_cluster() -> int:
    """Return one slot per GPU, or per processor where the cluster has none; at least one."""
    resources = ray.cluster_resources()
    return max(1, int(resources.get("GPU", 0)) or int(resources.get("CPU", 0)))


def gpu_share(slots: int) -> float:
    """Return the share of a GPU for each slot: the whole of one, or less where there are more slots than GPUs."""
    there = float(ray.cluster_resources().get("GPU", 0))
    return min(1.0, int(100 * there / slots) / 100)
