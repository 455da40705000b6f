"""What workers are given of the machine: the user's own names of GPUs."""

import time
from pathlib import Path

import pytest

from studies.engine import resources
from studies.engine.processes import Processes

LISTED = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1aaa)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-2bbb)
GPU 2: NVIDIA H100 80GB HBM3 (UUID: GPU-3ccc)
GPU 3: NVIDIA H100 80GB HBM3 (UUID: GPU-4ddd)
"""


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["0", "1", "2", "3"]),
        ("2,3", ["2", "3"]),
        ("3, 2", ["3", "2"]),
        ("GPU-3ccc,GPU-1", ["GPU-3ccc", "GPU-1"]),
        ("", []),
        ("-1", []),
        ("1,-1,2", ["1"]),
        ("7", []),
    ],
)
def test_a_device_has_the_name_that_the_user_gave_it(visible: str | None, names: list[str]) -> None:
    assert resources.visible_devices(LISTED, visible) == names


def test_workers_are_given_these_names(tmp_path: Path) -> None:
    executor = Processes(3, tmp_path / "workers.log", ["2", "GPU-4ddd"])
    try:
        given = []
        for worker in executor._idle:
            environment = Path(f"/proc/{worker.process.pid}/environ")
            if not environment.exists():
                pytest.skip("a process's environment is read from /proc")
            deadline = time.monotonic() + 30
            while not (content := environment.read_bytes()) and time.monotonic() < deadline:
                time.sleep(0.01)  # it is empty while the process is being started
            entries = content.split(b"\0")
            given.append(next(e.decode() for e in entries if e.startswith(b"CUDA_VISIBLE_DEVICES=")))
        assert [each.partition("=")[2] for each in given] == ["2", "GPU-4ddd", "2"]
    finally:
        executor.close()


def test_without_a_gpu_there_is_a_worker_for_each_processor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert resources.devices() == []
    assert resources.default_workers() >= 1
