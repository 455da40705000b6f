"""The code of the champion as MLflow keeps and runs it: a model folder of ours, texts in, probabilities out.

MLflow copies this file and ``seqclf_core`` beside the weights (models from code), so nothing is pickled.
"""

from __future__ import annotations

from pathlib import Path

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from seqclf_core.inference import load_model


class Champion(PythonModel):
    """Scores texts with the model folder among its artifacts."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model folder."""
        self._model = load_model(Path(context.artifacts["model"]))

    # MLflow makes the model's signature of these types; its own class has wider ones.
    def predict(self, context: PythonModelContext, model_input: list[str]) -> list[float]:  # type: ignore[override]
        """Return the probability that each text is positive."""
        probabilities: list[float] = self._model.predict(model_input).tolist()
        return probabilities


set_model(Champion())
