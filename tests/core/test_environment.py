"""What a worker's process is given before torch loads, and what is said where the machine does not take part."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqclf_core.environment import MEMORY, REPEATABLE, huge_pages_notice, worker_environment
from studies.engine.processes import Processes


def test_the_users_own_memory_settings_stand_and_workers_have_one_thread() -> None:
    own = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "7", "OMP_NUM_THREADS": "8", "HOME": "/home/me"}
    given = worker_environment(own)
    assert given == {**MEMORY, **own, **REPEATABLE}
    assert given["OMP_NUM_THREADS"] == "1"
    assert given["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the system does not show it")
def test_a_studys_workers_do_have_it(tmp_path: Path) -> None:
    workers = Processes(1, tmp_path / "log")
    try:
        process = workers._idle[0].process
        variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    finally:
        workers.close()
    assert {f"{name}={value}".encode() for name, value in {**MEMORY, **REPEATABLE}.items()} <= set(variables)


@pytest.mark.parametrize("setting", ["[always] madvise never", "always [madvise] never", None])
def test_nothing_is_said_where_huge_pages_are_to_be_had_or_unknown(tmp_path: Path, setting: str | None) -> None:
    file = tmp_path / "enabled"
    if setting is not None:
        file.write_text(setting + "\n")
    assert huge_pages_notice(file) is None


def test_it_is_said_where_huge_pages_are_off(tmp_path: Path) -> None:
    file = tmp_path / "enabled"
    file.write_text("always madvise [never]\n")
    said = huge_pages_notice(file)
    assert said
    assert str(file) in said
