"""The description of the API against the API: inputs made from it find no 500 and no undocumented shape.

`make fuzz` is the long run: FUZZ_EXAMPLES inputs of either kind a route, other ones each time, once for each
FUZZ_ROLE: a role, `scoped` (sales, of one owner), or none (whoever calls where there is no key).
"""

import os

import pytest
import schemathesis
from folders import copy_of
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as conformance
from serving_case import LOCAL, client_of, night  # noqa: F401 (fixture)

from features.settings import Settings
from monitoring.store import open_store
from serving.app import create_app
from serving.precompute import Prepared, WorkedOut

pytestmark = pytest.mark.slow
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "12"))
ROLE = os.environ.get("FUZZ_ROLE", "none")
HELD = (
    checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_schema_conformance,
)
DESCRIPTION = schemathesis.openapi.from_dict(create_app().openapi())
OPERATIONS = {found.ok().label: found.ok() for found in DESCRIPTION.get_all_operations()}


@pytest.fixture(scope="module")
def client(night, tmp_path_factory):  # noqa: F811
    """One service for all of them: what one stores, another finds."""
    home = copy_of(night, tmp_path_factory.mktemp("api") / "home")
    with pytest.MonkeyPatch.context() as patch, client_of(home, key=key_of(ROLE, home)) as asked:
        patch.setattr(WorkedOut, "ask", lambda self, name, *rest, **more: Prepared(None, "not now", False))
        yield asked


def key_of(role, home):
    """A new key of that role, which all callers need from then on; None: nobody needs one."""
    if role == "none":
        return None
    store = open_store(Settings(home=home))
    owner = store.scores.page("renewal", limit=1).rows[0]["owner_id"]
    scope = {"owner_id": owner} if role == "scoped" else {}
    return store.access.create_key("sales" if role == "scoped" else role, **scope)[0]


@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.name
)
@pytest.mark.parametrize("label", OPERATIONS)
def test_no_input_breaks_it_and_every_answer_has_the_shape_told(label, mode, client):
    """Inputs that fit the description, and inputs that don't."""
    cases = OPERATIONS[label].as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES <= 12, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    @given(case=cases)
    def ask(case):
        case.validate_response(sent(client, case), checks=list(HELD))

    ask()


def sent(client, case):
    answer = case.as_transport_kwargs(base_url=LOCAL)
    return client.request(**{name: value for name, value in answer.items() if value is not None})
