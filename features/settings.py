"""Settings: read from the environment once, frozen, and passed down."""

import os
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

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
    score_urls: str = ""
    score_changes: Literal["any", "band"] = "any"
    requests_per_minute: int = Field(default=12_000, ge=0)
    requests_per_minute_without_key: int = Field(default=300, ge=0)
    max_body_mb: int = Field(default=64, ge=1)
    work_ahead: bool = True
    email_is_contact: bool = False
    currency: str = Field(default="", pattern=r"^([A-Za-z]{3})?$")
    log_format: Literal["text", "json"] = "text"
    census_key: str = Field(default="", repr=False)
    census_url: str = "https://api.census.gov/data"

    @classmethod
    def from_env(cls) -> "Settings":
        """The settings of this environment.

        Raises:
            RenewalError: a variable has a value that does not fit.
        """
        try:
            settings = cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = "PERENNIAL_" + "_".join(str(part) for part in first["loc"]).upper()
            raise RenewalError(
                expected=f"{name} to hold a fitting value ({first['msg']})",
                found=repr(first["input"]),
                do=f"Change or unset {name}.",
            ) from error
        _check_database(settings.database_url)
        return settings

    def _url(self, what: str) -> str:
        if self.database_url is None:
            return f"sqlite:///{self.home.resolve() / what}.db"
        return _of_its_own(self.database_url, what)

    @property
    def store_url(self) -> str:
        """Where scores, logs, outcomes, alerts and keys are kept."""
        return self.database_url or self._url("perennial")

    @property
    def mlflow_url(self) -> str:
        """Where MLflow keeps runs and registered models."""
        return self._url("mlflow")

    @property
    def optuna_url(self) -> str:
        """Where Optuna keeps its studies."""
        return self._url("optuna")


def _check_database(url: str | None) -> None:
    """Raise RenewalError for the address of a database that cannot be one, before anything is begun on it."""
    if url is None:
        return
    scheme, separator, rest = url.partition("://")
    try:
        port_fits = scheme.startswith("sqlite") or urlsplit(url).port != 0
    except ValueError:
        port_fits = False
    if not separator or scheme.partition("+")[0] not in _DATABASES or not port_fits or not rest.strip("/"):
        raise RenewalError(
            expected="PERENNIAL_DATABASE_URL like sqlite:////path/file.db or postgresql://user@host/name",
            found=f"{scheme[:40]}://…" if separator else "something else",
            do="Change or unset it.",
        )


_DATABASES = ("sqlite", "postgresql", "postgres")


def _of_its_own(url: str, what: str) -> str:
    """A place in the shared database where nobody else's tables are.

    MLflow and Optuna both keep their version in a table `alembic_version`: on PostgreSQL each gets a schema,
    on SQLite a file beside the one named.
    """
    scheme, _, rest = url.partition("://")
    if scheme.startswith("sqlite"):
        place, dot, ending = rest.rpartition(".")
        return f"{scheme}://{place}-{what}.{ending}" if dot and "/" not in ending else f"{url}-{what}"
    driver = "postgresql+psycopg" if scheme in ("postgres", "postgresql") else scheme
    address, _, query = rest.partition("?")
    search = quote(f"-csearch_path={what}")
    given = [part for part in query.split("&") if part and not part.startswith("options=")]
    theirs = [part.removeprefix("options=") for part in query.split("&") if part.startswith("options=")]
    return f"{driver}://{address}?{'&'.join([*given, 'options=' + '%20'.join([*theirs, search])])}"
