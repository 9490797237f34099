"""Unfinished work on disk: what a killed process left goes with the next write, what lives stays."""

from features.scratch import MARK, Scratch, replacing, sweep, sweep_home


def test_a_write_removes_the_drafts_that_killed_writers_left_beside_it(tmp_path):
    (tmp_path / f"{MARK}killed.yaml").write_text("half")
    alive = Scratch(tmp_path)
    with replacing(tmp_path / "whole.yaml") as part:
        part.write_text("whole")
    assert (tmp_path / "whole.yaml").read_text() == "whole"
    assert alive.path.is_dir()
    alive.close()
    assert [path.name for path in tmp_path.iterdir()] == ["whole.yaml"]


def test_a_new_folder_for_work_removes_what_killed_ones_left_beside_it(tmp_path):
    left = tmp_path / f"{MARK}killed"
    left.mkdir()
    (tmp_path / f"{MARK}killed.lock").touch()
    work = Scratch(tmp_path)
    assert not left.exists()
    work.close()
    assert list(tmp_path.iterdir()) == []


def test_names_of_earlier_versions_are_swept_in_a_home_alone(tmp_path):
    home, beside = tmp_path / "home", tmp_path / "lists"
    for folder in (home, beside):
        (folder / ".old-notes").mkdir(parents=True)
    assert sweep(beside) == 0
    sweep_home(home)
    assert (beside / ".old-notes").is_dir()
    assert not (home / ".old-notes").exists()
