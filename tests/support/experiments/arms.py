"""Experiments of two arms."""

from typing import Any

from models.experiments.experiment import Experiment


def two_arms(
    name: str = "short",
    *,
    holdout: float = 0.0,
    control: dict[str, Any] | None = None,
    salt: str = "s",
    **settings: Any,
) -> Experiment:
    """An experiment whose arm `treatment`, half of the viewers, has these settings."""
    return Experiment.model_validate(
        {
            "name": name,
            "salt": salt,
            "arms": [
                {"name": "control", "share": 0.5, "settings": control or {}},
                {"name": "treatment", "share": 0.5, "settings": settings},
            ],
            "candidates": {"holdout": holdout},
        }
    )
