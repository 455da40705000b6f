"""Where MLflow's files of runs are when MLflow is a database here and not a server: under RUNS, found by the run.

In the database stands ``mlflow-artifacts:/RUN/artifacts``, which names no place, so that RUNS can be moved, copied
and mailed. MLflow itself reads such an address only through a server; ``read_without_server`` teaches it to look
beside its SQLite file. Imports MLflow.
"""

from __future__ import annotations

from pathlib import Path

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
from mlflow.tracking import get_tracking_uri

from experiments.tracking.paths import ARTIFACT_SCHEME, artifact_folder, sqlite_path
from seqclf_core.files import make_folder, sync


class OnDisk(LocalArtifactRepository):
    """Local files that last through a power cut: what MLflow's database says of them is never ahead of them."""

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Copy a file among those of a run, and bring it and the folders above onto the disk."""
        folder = Path(self.artifact_dir, artifact_path or "")
        make_folder(folder)
        super().log_artifact(local_file, artifact_path)  # type: ignore[no-untyped-call]
        sync(folder / Path(local_file).name)
        sync(folder)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Copy a folder among the files of a run, and bring all that is in it onto the disk."""
        folder = Path(self.artifact_dir, artifact_path or "")
        make_folder(folder)
        super().log_artifacts(local_dir, artifact_path)  # type: ignore[no-untyped-call]
        for path in (*folder.rglob("*"), folder):
            sync(path)


def read_without_server(artifacts: Path) -> None:
    """Let MLflow in this process find files of runs without a server.

    Args:
        artifacts: where they are if MLflow is another database than SQLite, which has them beside itself.
    """

    def repository(
        artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> ArtifactRepository:
        tracking_uri = tracking_uri or get_tracking_uri()
        if tracking_uri.startswith(("http://", "https://")):
            return MlflowArtifactsRepository(artifact_uri, tracking_uri, registry_uri)
        file = sqlite_path(tracking_uri)
        folder = artifact_folder(file.with_name(artifacts.name) if file else artifacts, artifact_uri)
        return OnDisk(folder.absolute().as_uri())

    _artifact_repository_registry.register(ARTIFACT_SCHEME, repository)  # type: ignore[no-untyped-call]


def serve_only_below(root: Path) -> None:
    """Let MLflow in this process read and write local files below one folder only, and follow no links there."""
    root = root.absolute()

    class Below(OnDisk):
        """Local files below the folder."""

        def __init__(
            self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
        ) -> None:
            super().__init__(artifact_uri, tracking_uri, registry_uri)
            refuse_foreign(Path(self.artifact_dir), root)

        def get_local_path(self, artifact_path: str) -> str:
            path: str = super().get_local_path(artifact_path)
            refuse_foreign(Path(path), root)
            return path

        def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
            refuse_foreign(Path(self.artifact_dir, path or ""), root)
            found: list[FileInfo] = super().list_artifacts(path)  # type: ignore[no-untyped-call]
            return found

        def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
            refuse_foreign(Path(self.artifact_dir, artifact_path or ""), root)
            super().log_artifact(local_file, artifact_path)

        def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
            refuse_foreign(Path(self.artifact_dir, artifact_path or ""), root)
            super().log_artifacts(local_dir, artifact_path)

    for scheme in ("", "file"):
        _artifact_repository_registry.register(scheme, Below)  # type: ignore[no-untyped-call]


def refuse_foreign(path: Path, root: Path) -> None:
    """Refuse a path that is not below a folder, or that a link below it leads to.

    Raises:
        MlflowException: which MLflow's server answers with status 403.
    """
    steps = [path, *path.parents]
    below = path.absolute() == path and ".." not in path.parts and root in steps
    if not below or any(step.is_symlink() for step in steps[: steps.index(root)]):
        raise MlflowException(
            "Only files below the folder of artifacts are served, and no links.", PERMISSION_DENIED
        )
