"""A folder that was finished is known again, and any change of it is seen."""

from __future__ import annotations

import pytest

from memorability.core import states


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "fold"
    (made / "inner").mkdir(parents=True)
    (made / "table.csv").write_text("id\n1\n")
    (made / "inner" / "maps.npy").write_bytes(bytes(1000))
    return made


def test_only_what_was_sealed_counts_as_finished(folder):
    assert not states.sealed(folder)
    assert (folder / "table.csv").is_file()  # unfinished work is left as it is
    states.seal(folder)
    assert states.sealed(folder)
    states.seal(folder)
    assert states.sealed(folder)
    assert not states.sealed(folder.with_name("none"))


def changed(folder):
    (folder / "inner" / "maps.npy").write_bytes(bytes(999) + b"1")


def cut(folder):
    (folder / "table.csv").write_text("id\n")


def lost(folder):
    (folder / "table.csv").unlink()


def added(folder):
    (folder / "more.csv").write_text("")


@pytest.mark.parametrize("harm", [changed, cut, lost, added])
def test_a_folder_that_has_changed_since_is_thrown_away(folder, capsys, harm):
    states.seal(folder)
    harm(folder)
    assert not states.sealed(folder)
    assert not folder.exists()
    assert capsys.readouterr().out == (
        f"{folder}: damaged since an interrupted run left it; thrown away and made again\n"
    )


def test_another_fold_s_folder_in_its_place(folder):
    states.seal(folder)
    assert not states.sealed(folder.rename(folder.with_name("other")))


@pytest.mark.parametrize("content", [b"", b"{}", b"[]" + bytes(states.SEAL)])
def test_a_list_that_is_none(folder, content):
    states.seal(folder)
    (folder / states.SEALS).write_bytes(content)
    assert not states.sealed(folder)
