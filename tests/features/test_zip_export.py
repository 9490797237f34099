"""Exports in ZIP files, such as Salesforce's weekly one, are read as the folder that is in them."""

import csv
import io
import sys
import zipfile

import pandas as pd
import pytest
from salesforce_server import organisation

from features.crm.load import load
from features.errors import RenewalError
from features.mapping_draft.folder_draft import map_folder


def as_csv(rows):
    text = io.StringIO()
    out = csv.DictWriter(text, list(rows[0]), quoting=csv.QUOTE_ALL, extrasaction="ignore")
    out.writeheader()
    out.writerows(rows)
    return text.getvalue()


@pytest.fixture
def export(tmp_path):
    """A function that packs the organisation's objects as Salesforce does: a CSV file each."""
    objects = organisation()

    def pack(name="WE_00D1_1.ZIP", only=("Account", "Opportunity", "Task", "User"), folder=""):
        place = tmp_path / "export" / name
        place.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as packed:
            for object in only:
                packed.writestr(f"{folder}{object}.csv", as_csv(objects[object]))
            packed.writestr("Attachments/00P1", b"no data")
            packed.writestr("__MACOSX/._Account.csv", b"no data")
        return place

    return pack


def read(place, tmp_path):
    return load(place, into=tmp_path / "clean", until=pd.Timestamp("2025-01-01"))


def test_a_zip_file_is_read_as_the_folder_in_it(export, tmp_path):
    crm = read(export(folder="deep/er/"), tmp_path)
    assert (len(crm.frame("accounts")), len(crm.frame("opportunities"))) == (7, 9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean", "export"]  # nothing stays unpacked


def test_an_export_in_parts_is_read_together(export, tmp_path):
    export("WE_1.ZIP", ("Account",))
    place = export("WE_2.ZIP", ("Opportunity", "Task"))
    crm = read(place.parent, tmp_path)
    assert (len(crm.frame("accounts")), len(crm.frame("opportunities"))) == (7, 9)


def split(export, name, objects, half):
    """A part of the export with every other row of its objects."""
    place = export(name, objects)
    with zipfile.ZipFile(place, "w") as packed:
        for each in objects:
            packed.writestr(f"{each}.csv", as_csv(organisation()[each][half::2]))
    return place


@pytest.mark.parametrize("named", ["folder", "first", "last"])
def test_an_object_that_stands_in_several_parts_is_one(export, tmp_path, named):
    objects = ("Account", "Opportunity", "Task", "User")
    first = split(export, "WE_00D1_1.ZIP", ("Account", "Opportunity"), 0)
    last = split(export, "WE_00D1_2.ZIP", ("Account", "Opportunity"), 1)
    if named == "last":
        export("WE_00D2_1.ZIP", objects)  # of another export
    else:
        export("WE_00D1_3.ZIP", objects[2:])
    crm = read({"folder": first.parent, "first": first, "last": last}[named], tmp_path)
    assert sorted(crm.frame("accounts")["account_id"]) == [f"001{i}" for i in range(1, 8)]
    assert (len(crm.frame("opportunities")), crm.has("activities")) == (9, named != "last")
    assert "WE_00D1_1.ZIP, WE_00D1_2.ZIP: read as one" in " ".join(crm.quality.warnings)
    if named == "first":  # a mapping names it as ever, and gets all of it
        map_folder(last)
        assert len(read(last, tmp_path).frame("opportunities")) == 9
        place = first.with_name("WE_00D1_1.mapping.yaml")
        assert "'Opportunity.csv'" in place.read_text()
        assert len(read(first, tmp_path).frame("opportunities")) == 9


def test_parts_of_two_exports_are_not_put_together(export, tmp_path):
    place = split(export, "WE_00D1_1.ZIP", ("Account", "Opportunity"), 0)
    with zipfile.ZipFile(export("WE_00D1_2.ZIP", ("Account",)), "w") as packed:
        packed.writestr("Opportunity.csv", "Id,Other\n1,2\n")
    with pytest.raises(RenewalError, match=r"Opportunity.csv of WE_00D1_2.ZIP to have the columns it has in"):
        read(place, tmp_path)


def test_a_part_that_is_missing_is_told(export, tmp_path):
    export("WE_00D1_3.ZIP", ("Opportunity",))
    crm = read(export("WE_00D1_1.ZIP", ("Account",)), tmp_path)
    assert len(crm.frame("opportunities")) == 9
    assert any("WE_00D1_2.ZIP" in warning for warning in crm.quality.warnings)


def test_its_mapping_stands_beside_it(export, tmp_path):
    place = export()
    map_folder(place)
    mapping = place.with_name("WE_00D1_1.mapping.yaml")
    text = mapping.read_text()
    assert "'Opportunity.csv'" in text
    mapping.write_text(text.split("\naccounts: |")[0].split("\nopportunities: |")[0] + (
        "\nopportunities: SELECT Id AS opportunity_id, AccountId AS account_id, CreatedDate AS created_at"
        " FROM 'Opportunity.csv' WHERE Id < '0064'\n"
    ))  # fmt: skip
    assert sorted(read(place, tmp_path).frame("opportunities")["opportunity_id"]) == ["0061", "0062", "0063"]


def test_a_damaged_one_is_one_line(export, tmp_path):
    place = export()
    content = bytearray(place.read_bytes())
    place.write_bytes(content[: len(content) // 2])
    with pytest.raises(RenewalError, match=r"a whole ZIP file without a password; found .*Download it again"):
        read(place, tmp_path)
    content[60:90] = bytes(30)
    place.write_bytes(content)
    with pytest.raises(RenewalError, match="a whole ZIP file"):
        read(place, tmp_path)


def test_the_command(export, tmp_path, monkeypatch, capsys):
    from perennial.cli import main

    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "argv", ["perennial", "ingest", str(export())])
    with pytest.raises(SystemExit) as status:
        main()
    assert not status.value.code, capsys.readouterr().err
    assert "opportunities" in capsys.readouterr().out
