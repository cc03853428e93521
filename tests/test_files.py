"""Files and folders appear whole or not at all."""

import os
import stat

import pytest

from gazehead_jax.errors import GazeheadError
from gazehead_jax.files import atomic_folder, atomic_path


def write_file(path, text):
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def write_folder(path, text):
    with atomic_folder(path) as temporary:
        (temporary / "deep").mkdir()
        (temporary / "deep" / "a.txt").write_text(text)


@pytest.mark.parametrize(
    ("write", "mode"), [(write_file, 0o640), (write_folder, 0o750)]
)
def test_others_may_read_it_as_the_umask_says(write, mode, tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "new" / "it", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "it").stat().st_mode) == mode
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["it"]


def test_a_file_replaces_the_old_one_and_an_empty_folder_is_filled(tmp_path):
    write_file(tmp_path / "it", "old")
    write_file(tmp_path / "it", "new")
    assert (tmp_path / "it").read_text() == "new"
    (tmp_path / "folder").mkdir()
    write_folder(tmp_path / "folder", "new")
    assert (tmp_path / "folder" / "deep" / "a.txt").read_text() == "new"


def test_a_folder_that_holds_something_stays(tmp_path):
    write_folder(tmp_path / "it", "old")
    with pytest.raises(GazeheadError, match="could not be written"):
        write_folder(tmp_path / "it", "new")
    assert (tmp_path / "it" / "deep" / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["it"]


@pytest.mark.parametrize("atomic", [atomic_path, atomic_folder])
@pytest.mark.parametrize("error", [KeyboardInterrupt, GazeheadError])
def test_an_error_leaves_nothing(atomic, error, tmp_path):
    def broken():
        with atomic(tmp_path / "it") as temporary:
            if temporary.is_dir():
                (temporary / "half").write_text("x")
            raise error

    with pytest.raises(error):
        broken()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_an_unwritable_place_is_named(write, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GazeheadError, match=r"file/it could not be written"):
        write(tmp_path / "file" / "it", "x")
