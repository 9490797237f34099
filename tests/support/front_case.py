"""The service without models or data, and the form every error has."""

import pytest

from features.settings import Settings


@pytest.fixture
def service(tmp_path):
    """The application without models or data, asked from this machine, and its store."""
    from serving_case import LOCAL
    from starlette.testclient import TestClient

    from monitoring.store import open_store
    from serving.app import create_app

    def start(address="127.0.0.1", base=LOCAL, **settings):
        made = Settings(home=tmp_path / "home", threads=1, **settings)
        client = TestClient(
            create_app(made), base_url=base, client=(address, 50_000), raise_server_exceptions=False
        )
        return client, open_store(made)

    return start


def is_problem(answer, status):
    """Whether an answer is a problem detail of this status; says what is wrong where not."""
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert {"type", "title", "detail"} <= set(answer.json())
    return True
