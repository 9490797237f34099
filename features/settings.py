"""Settings: read from the environment once, frozen, and passed down."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from features.errors import RenewalError


class Settings(BaseSettings):
    """Where things are kept and how hard to work; a field is an environment variable `PERENNIAL_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", frozen=True)

    home: Path = Path(".perennial")
    database_url: str | None = None
    engine: Literal["local", "spark"] = "local"
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    seed: int = 0
    holdout_share: float = Field(default=0.0, ge=0, lt=1)
    min_positives: int = Field(default=40, ge=1)
    alert_urls: str = ""
    census_key: str = Field(default="", repr=False)
    census_url: str = "https://api.census.gov/data"

    @classmethod
    def from_env(cls) -> "Settings":
        """The settings of this environment.

        Raises:
            RenewalError: a variable has a value that does not fit.
        """
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = "PERENNIAL_" + "_".join(str(part) for part in first["loc"]).upper()
            raise RenewalError(
                expected=f"{name} to hold a fitting value ({first['msg']})",
                found=repr(first["input"]),
                do=f"Change or unset {name}.",
            ) from error

    def _url(self, file: str) -> str:
        return self.database_url or f"sqlite:///{self.home.resolve() / file}"

    @property
    def store_url(self) -> str:
        """Where scores, logs, outcomes, alerts and keys are kept."""
        return self._url("perennial.db")

    @property
    def mlflow_url(self) -> str:
        """Where MLflow keeps runs and registered models."""
        return self._url("mlflow.db")

    @property
    def optuna_url(self) -> str:
        """Where Optuna keeps its studies."""
        return self._url("optuna.db")
