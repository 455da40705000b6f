from __future__ import annotations

from pathlib import Path

import pytest

from seqclf_core.kernels.build import Unavailable
from seqclf_core.kernels.lstm import LSTMKernel, load_kernel


@pytest.fixture(scope="session")
def kernel_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="session")
def kernel(kernel_folder: Path) -> LSTMKernel:
    kernel = load_kernel(kernel_folder)
    if isinstance(kernel, Unavailable):
        pytest.skip(kernel.reason)
    return kernel
