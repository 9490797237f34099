"""The contract holds together: keys, references and moments are columns."""

import pytest

from features.crm.contract import SUBJECTS, TABLES, Kind

REQUIRED = {
    "accounts": {"account_id"},
    "owners": {"owner_id"},
    "contacts": {"contact_id", "account_id"},
    "contracts": set(),
    "opportunities": set(),
    "stage_history": {"opportunity_id", "changed_at", "stage"},
    "activities": {"activity_id", "account_id", "occurred_at", "kind"},
    "quotes": {"quote_id", "quoted_at", "list_amount", "net_amount"},
    "leads": {"lead_id", "created_at"},
    "touches": {"touch_id", "sent_at"},
    "campaigns": {"campaign_id"},
    "surveys": {"response_id", "account_id", "kind"},
    "cases": {"case_id", "account_id", "opened_at"},
    "usage": {"account_id", "used_on", "metric", "value"},
    "invoices": {"invoice_id", "account_id", "issued_at", "due_at", "amount"},
    "history": {"table", "id", "changed_at", "column"},
    "segments": {"account_id", "attribute", "value"},
    "population": {"attribute", "value", "people"},
}


def test_the_contract_requires_what_the_design_says():
    assert {name: set(table.required) for name, table in TABLES.items()} == REQUIRED


def test_only_four_tables_carry_further_columns():
    carrying = {name for name, table in TABLES.items() if table.carries}
    assert carrying == {"accounts", "contracts", "opportunities", "leads"}


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_what_a_table_speaks_of_are_its_columns(table):
    spoken = {table.key, table.time, *(table.span or ()), *table.seconds} - {None}
    spoken |= {column.known_with for column in table.columns if column.known_with}
    assert spoken <= set(table.by_name)
    assert len({column.stored for column in table.columns}) == len(table.columns)


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_a_reference_is_named_as_the_key_it_refers_to(table):
    for column in table.columns:
        if column.refers:
            assert TABLES[column.refers].key == column.name
            assert column.kind is Kind.ID


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_moments_are_moments(table):
    for name in (table.time, *table.seconds, *(table.span or ())):
        if name:
            assert table.by_name[name].kind in (Kind.TIME, Kind.DATE)


def test_subjects_are_tables():
    assert set(SUBJECTS.values()) <= set(TABLES)
