"""The touchpoint catalogue holds every feature and KPI under columns of the contract, and lists gaps."""

import pytest

from features.catalog import infos
from features.crm.contract import TABLES
from features.crm.load import from_rows
from monitoring.customer_kpis import KPIS
from monitoring.journey_map import MAP
from serving.touchpoint_catalog import points_in, touchpoint_catalog, touchpoints

ROWS = {
    "contracts": [
        {"contract_id": f"c{i}", "account_id": "a", "start_date": "2023-01-01", "end_date": "2024-01-01"}
        for i in range(3)
    ],
    "activities": [
        {"activity_id": "x", "account_id": "a", "kind": "call", "occurred_at": "2023-05-01", "outcome": ""}
    ],
}


@pytest.mark.parametrize("kind", ["renewal", "win"])
def test_every_feature_stands_under_the_data_it_reads(kind):
    listed = {name for point in touchpoint_catalog() for name in getattr(point, kind)}
    assert listed == {info.name for info in infos(kind)}


def test_every_kpi_and_every_place_of_the_journey_stands_under_its_data():
    points = touchpoint_catalog()
    assert {kpi for point in points for kpi in point.kpis} == {kpi.name for kpi in KPIS}
    places = {f"{place.stage}: {place.touchpoint}" for place in MAP}
    assert {place for point in points for place in point.journey} == places


def test_data_points_are_columns_of_the_contract_and_listed_once_a_touchpoint():
    points = [(point.touchpoint, point.data_point) for point in touchpoint_catalog()]
    assert len(set(points)) == len(points)
    for _, point in points:
        table, _, column = point.partition(".")
        assert column in TABLES[table].by_name


@pytest.mark.parametrize(
    ("words", "points"),
    [
        ("cases with opened_at and closed_at", ["cases.opened_at", "cases.closed_at"]),
        ("surveys of kind nps", ["surveys.kind"]),
        ("touches", ["touches.touch_id", "touches.sent_at"]),
    ],
)
def test_words_speak_of_data_points(words, points):
    assert points_in(words) == points


def test_collection_uses_and_people_are_named():
    (point,) = [
        point
        for point in touchpoint_catalog()
        if (point.touchpoint, point.data_point) == ("sales contact", "activities.direction")
    ]
    assert "salesforce: Task.CallType" in point.collected
    assert "live: POST /v1/events" in point.collected
    assert "inbound_90d" in point.renewal
    assert "first response" in point.kpis
    assert {"sales", "marketing"} <= set(point.roles)


def test_what_a_crm_lacks_is_told_with_what_it_costs():
    rows = {row["data_point"]: row for row in touchpoints(from_rows(ROWS))}
    assert rows["activities.kind"]["missing"] is None
    assert rows["activities.kind"]["filled"] == 1
    assert rows["activities.outcome"]["missing"].startswith("no value in any row: without ")
    assert rows["activities.direction"]["missing"].startswith("no such column: without ")
    assert rows["cases.opened_at"]["missing"].startswith("no such table: without ")
    assert "case resolution" in rows["cases.opened_at"]["missing"]
