"""A champion without a training run, and `seqclf serve` as a process, for the tests of what is served."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.serving.champion import Champion, keep_champion
from experiments.tracking.digests import digests
from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig
from seqclf_core.data.vocabulary import train_tokenizer
from seqclf_core.models import SequenceClassifier
from seqclf_core.training.checkpoint import save_model
from tests import forked

ROOT = Path(__file__).parents[3]
TEXTS = ["dull the film was superb", "superb the film was dull", 'Zwölf "Boxkämpfer" 🙂']


def make_model(folder: Path) -> Path:
    """Write the folder of a model that has learned nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(["a good superb film", "a bad dull film"] * 2, 50)
    path = folder.with_name("tokenizer.json")
    tokenizer.save(str(path))
    config = RunConfig().override({"model.embed_dim": 4, "model.hidden_dim": 4})
    model = SequenceClassifier(config.model, tokenizer.get_vocab_size())
    save_model(folder, model, config, path, tags=[])
    path.unlink()
    return folder


def make_record(paths: RunPaths, model: Path, key: str = "demo/0000", run_id: str = "0" * 32) -> Champion:
    """Record a model folder as the champion, without MLflow."""
    champion = Champion(key=key, val_accuracy=0.9, version="1", run_id=run_id, files=digests(model))
    keep_champion(paths, model, champion)
    return champion


def seqclf(
    *arguments: str | Path, text: bytes | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of ours and return what it said."""
    done = forked.run(
        [sys.executable, "-m", "studies.commands", *map(str, arguments)],
        cwd=ROOT, input=text, capture_output=True, check=False, env={**os.environ, **environment}, timeout=100,
    )  # fmt: skip
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass(frozen=True)
class Served:
    """A server that answers."""

    port: int
    token: str
    said: str
    pid: int

    def ask(self, body: object, path: str = "/invocations", **headers: str) -> tuple[int, str]:
        """Return status and content of an answer; headers that are empty are left out."""
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            body if isinstance(body, bytes) or body is None else json.dumps(body).encode(),
            {name: value for name, value in sent.items() if value},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def predictions(self, texts: list[str]) -> Any:
        """Return the probabilities of texts."""
        status, content = self.ask({"inputs": texts})
        assert status == 200, content
        return json.loads(content)["predictions"]


@contextmanager
def serving(runs: Path) -> Iterator[Served]:
    """Serve a champion while the block runs."""
    process = forked.Popen(
        [sys.executable, "-m", "studies.commands", "serve", "--runs", str(runs)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        said = "".join(process.stdout.readline() for _ in range(3))
        found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]+)", said)
        assert found, said
        yield Served(int(found[1]), found[2], said, process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
