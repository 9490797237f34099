"""Each page, route, command and view is compared by `benchmarks.same_facts`, or says why it holds no fact."""

import pytest

from benchmarks.stated_places import COMPARED, FACTLESS, every_place, not_opened, place_of


def test_every_place_is_compared_or_says_why_not():
    places = every_place()
    assert sorted(places) == sorted({**COMPARED, **FACTLESS})
    assert not COMPARED.keys() & FACTLESS.keys()


@pytest.mark.parametrize(
    ("stated", "place"),
    [
        ("perennial score win", "perennial score"),
        ("perennial effects plan --out", "perennial effects plan"),
        ("/renewals?band=", "GET /renewals"),
        ("/renewals/export.csv", "GET /renewals/export.{ending}"),
        ("/v1/renewals/score", "POST /v1/renewals/score"),
        ("/models/win/3/card", "GET /models/{kind}/{version}/card"),
        ("v_renewals", "v_renewals"),
        ("/nowhere", None),
    ],
)
def test_a_statement_is_of_its_place(stated, place):
    assert place_of(stated, COMPARED) == place


def test_a_place_that_no_statement_came_from_is_named():
    opened = [place.partition(" ")[2] if " /" in place else place for place in COMPARED]
    assert not_opened(opened) == []
    assert not_opened([each for each in opened if each != "/forecast"]) == ["GET /forecast"]
