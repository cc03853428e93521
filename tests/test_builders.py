"""Builders and the ways to prepare and open what they make, in small."""

import functools
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from gazehead_jax import build, cli
from gazehead_jax.datasets.gazehead_folder import (
    gazehead_folder_dataset_builder as folder_builder,
)
from gazehead_jax.datasets.gazehead_synthetic import (
    gazehead_synthetic_dataset_builder as synthetic_builder,
)
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion
from gazehead_jax.motion_builder import from_example, to_example
from gazehead_jax.motion_io import save_motion
from gazehead_jax.simulator import SimulatorParameters, sample_parameters, simulate

SMALL = {
    "train_people": 3,
    "validation_people": 2,
    "test_people": 1,
    "sequences": 2,
    "seconds": 4.0,
}
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """(builder, data_dir) of a small synthetic dataset."""
    data_dir = tmp_path_factory.mktemp("data")
    return build.prepare("gazehead_synthetic", data_dir, fps=29.97, **SMALL), data_dir


def name_of(builder):
    return f"{builder.name}/{builder.builder_config.name}"


def make_folder(folder, people=5, **changes):
    """A folder with two files a person, .npz and .csv; {key: motion}."""
    motions = {}
    for i in range(people):
        for j, suffix in enumerate((".npz", ".csv")):
            motion = simulate(3, 25 + 5 * j, seed=10 * i + j)
            motion = motion.replace(source="", meta={}, **changes)
            key = f"person{i}/take{j}{suffix}"
            save_motion(folder / key, motion)
            motions[key] = motion
    return motions


def test_without_a_data_dir_datasets_lie_where_tfds_keeps_them(tmp_path):
    """In a process of its own, as TFDS reads its variable once."""
    program = (
        "from gazehead_jax import build;"
        "motions = build.load_split('gazehead_sample/eye_tracker', 'test');"
        "print(len(motions), build.prepared_dir('gazehead_sample'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"TFDS_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
    assert (tmp_path / "gazehead_sample" / "eye_tracker").is_dir()


# --- examples ------------------------------------------------------------------------


def test_an_example_makes_its_motion_again(synthetic):
    builder, data_dir = synthetic
    motions = build.open_split(name_of(builder), "train", data_dir)
    assert len(motions) == 6
    for motion in motions:
        # The meta alone says how to make it again, to the last bit.
        again = simulate(
            4,
            29.97,
            seed=motion.meta["seed"],
            parameters=SimulatorParameters.from_dict(motion.meta["simulator"]),
        )
        np.testing.assert_array_equal(motion.gaze, again.gaze)
        np.testing.assert_array_equal(motion.head, again.head)
        np.testing.assert_array_equal(motion.valid, again.valid)
        assert motion.fps == 29.97  # Not its float32 neighbour.
        assert motion.meta == again.meta
        assert motion.source == "simulator"


def test_gaze_only_motions_are_no_examples():
    with pytest.raises(GazeheadError, match="gaze but no head"):
        to_example(Motion(gaze=np.zeros((3, 2)), head=None, fps=25.0))


# --- gazehead_synthetic --------------------------------------------------------------


def test_no_person_is_in_two_splits(synthetic):
    builder, data_dir = synthetic
    people = {
        split: {m.subject for m in build.open_split(name_of(builder), split, data_dir)}
        for split in SPLITS
    }
    assert [len(people[s]) for s in SPLITS] == [3, 2, 1]
    assert len(set.union(*people.values())) == 6
    truths = {
        m.meta["simulator"]["theta0"]
        for split in SPLITS
        for m in build.open_split(name_of(builder), split, data_dir)
    }
    assert len(truths) == 6


def test_readme_citation_and_conventions_reach_the_info(synthetic):
    builder, _ = synthetic
    for info in (builder.info, build.make_builder("gazehead_folder").info):
        assert len(info.description) > 200
        assert info.citation.startswith("@")
        assert info.metadata["units"] == "radians"
    read = tfds.builder_from_directory(builder.data_dir).info
    assert read.description == builder.info.description
    assert read.metadata["frame"] == "camera"


@pytest.mark.parametrize("name", ["gazehead_synthetic", "gazehead_folder"])
def test_tags_are_tags_of_tfds(name):
    from tensorflow_datasets.core import dataset_metadata

    tags = type(build.make_builder(name)).get_metadata().tags
    assert tags
    assert set(tags) <= set(dataset_metadata.valid_tags())


def test_clean_is_the_same_people_seen_without_noise(tmp_path):
    noisy, clean = (
        build.prepare(f"gazehead_synthetic/{config}", tmp_path, **SMALL)
        for config in ("default", "clean")
    )
    noisy, clean = (
        build.open_split(name_of(b), "validation", tmp_path) for b in (noisy, clean)
    )
    noisy_by_key, clean_by_key = (
        {(m.subject, m.meta["seed"]): m for m in source} for source in (noisy, clean)
    )
    assert noisy_by_key.keys() == clean_by_key.keys()
    for key, motion in clean_by_key.items():
        assert motion.valid.all()
        assert motion.meta["simulator"]["gaze_noise"] == 0
        difference = np.abs(noisy_by_key[key].head - motion.head)
        assert 0 < difference.max() < np.deg2rad(6)


def test_the_people_follow_from_the_seed():
    config = build.make_builder("gazehead_synthetic", seed=3).builder_config
    motions = dict(synthetic_builder._motions(config, range(2)))
    expected = sample_parameters(np.random.default_rng((3, 1)))
    assert len(motions) == 8
    truth = motions["0001_0000"].meta["simulator"]
    assert SimulatorParameters.from_dict(truth) == expected


def test_a_split_without_people_is_refused():
    with pytest.raises(GazeheadError, match="test_people must be at least 1"):
        build.make_builder("gazehead_synthetic", test_people=0)


# --- the ways of TFDS ----------------------------------------------------------------


def test_tfds_data_source_knows_the_builder(tmp_path):
    config = synthetic_builder.SyntheticConfig(name="tiny", **SMALL)
    source = tfds.data_source(
        "gazehead_synthetic",
        split="train",
        data_dir=tmp_path,
        builder_kwargs={"config": config},
    )
    assert len(source) == 6
    assert from_example(source[0]).gaze.shape == (100, 2)


def test_prepared_data_open_without_our_code(synthetic):
    builder, _ = synthetic
    program = (
        "import sys, tensorflow_datasets as tfds\n"
        "b = tfds.builder_from_directory(sys.argv[1])\n"
        "e = b.as_data_source('train')[0]\n"
        "assert 'gazehead_jax' not in sys.modules\n"
        "assert 'tensorflow' not in sys.modules\n"
        "print(sorted(e), e['gaze'].shape, e['gaze'].dtype, float(e['fps']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, builder.data_dir],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (
        "['fps', 'gaze', 'head', 'meta', 'source', 'subject', 'valid'] "
        "(120, 2) float32 29.97"
    )


def test_a_builder_survives_pickling(synthetic):
    builder, _ = synthetic
    again = pickle.loads(pickle.dumps(builder))
    assert again.data_dir == builder.data_dir
    assert len(again.as_data_source("test")) == 2


# --- open_split ----------------------------------------------------------------------


def test_a_split_is_a_sequence_that_can_be_pickled(synthetic):
    builder, data_dir = synthetic
    motions = build.open_split(builder.data_dir, "train")
    assert isinstance(motions[0], Motion)
    np.testing.assert_array_equal(motions[-1].gaze, motions[5].gaze)
    with pytest.raises(IndexError):
        motions[6]
    again = pickle.loads(pickle.dumps(motions))
    np.testing.assert_array_equal(again[2].head, motions[2].head)
    assert len(build.open_split(builder.data_dir, "train[:50%]")) == 3
    # A motion's arrays are the caller's own.
    motions[0].valid[:] = False
    assert motions[0].valid.any()


def test_what_cannot_be_opened_is_explained(synthetic, tmp_path):
    builder, data_dir = synthetic
    with pytest.raises(GazeheadError, match=r"no split 'val'.*train.*validation"):
        build.open_split(builder.data_dir, "val")
    with pytest.raises(GazeheadError, match="is not prepared.*dataset build"):
        build.open_split("gazehead_synthetic/clean", "train", tmp_path)
    with pytest.raises(GazeheadError, match=r"is not prepared.*data_dir\.$"):
        build.open_split("gazehead_synthetic/clean+fps-50", "train", tmp_path)
    with pytest.raises(GazeheadError, match="is not prepared.*the --manual-dir"):
        build.open_split("eyehead_recordings/vr_objects", "train", tmp_path)
    with pytest.raises(GazeheadError, match="did you mean 'gazehead_synthetic'"):
        build.open_split("gazehead_sintetic", "train", tmp_path)
    with pytest.raises(GazeheadError, match="go down to its version"):
        build.open_split(data_dir, "train")


def test_a_dataset_of_other_things_is_refused(tmp_path, monkeypatch):
    # TFDS leaves a folder there.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    class Other(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = tmp_path

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict({"gaze": np.int64}),
            )

        def _split_generators(self, dl_manager):
            return {"train": iter([(0, {"gaze": 1})])}

        def _generate_examples(self):
            pass

    other = Other(data_dir=tmp_path / "data", file_format="array_record")
    other.download_and_prepare()
    with pytest.raises(GazeheadError, match="not a dataset of motions, it lacks fps"):
        build.open_split(other.data_dir, "train")


# --- prepare -------------------------------------------------------------------------


@pytest.mark.parametrize("name", build.BUILDERS)
def test_a_builder_leaves_nothing_among_temporary_files(name, tmp_path, monkeypatch):
    if name == "gazehead_videos":
        pytest.importorskip("apache_beam")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    build.make_builder(name, tmp_path / "data")
    assert not list(tmp_path.iterdir())


def test_every_builder_has_its_place():
    assert set(build.BUILDERS) >= {
        "gazehead_sample",
        "gazehead_synthetic",
        "gazehead_folder",
        "eyehead_recordings",
    }


def test_unknown_names_get_the_nearest():
    for name, options, message in (
        ("gazehead_flder", {}, "no dataset 'gazehead_flder'; did you mean"),
        ("gazehead_synthetic/clena", {}, "'clena'; did you mean 'clean'"),
        ("gazehead_synthetic", {"fsp": 3}, "'fsp'; did you mean 'fps'"),
    ):
        with pytest.raises(GazeheadError, match=message):
            build.make_builder(name, **options)


def test_options_have_a_place_of_their_own(tmp_path):
    plain = build.make_builder("gazehead_synthetic", tmp_path)
    changed = build.make_builder("gazehead_synthetic", tmp_path, seed=2, fps=50)
    same = build.make_builder("gazehead_synthetic", tmp_path, fps=50.0, seed=2)
    assert changed.builder_config.name == "default+fps-50+seed-2"
    assert changed.data_dir == same.data_dir != plain.data_dir
    unchanged = build.make_builder("gazehead_synthetic", tmp_path, fps=25)
    assert unchanged.data_dir == plain.data_dir
    for builder in (plain, changed):
        assert str(build.prepared_dir(name_of(builder), tmp_path)) == builder.data_dir


def test_prepare_is_quiet_and_does_it_once(tmp_path, capfd):
    builder = build.prepare("gazehead_synthetic", tmp_path, **SMALL)
    record = next(p for p in tmp_path.rglob("*train*array_record*"))
    before = record.stat().st_mtime_ns
    build.prepare("gazehead_synthetic", tmp_path, **SMALL)
    assert record.stat().st_mtime_ns == before
    build.prepare("gazehead_synthetic", tmp_path, overwrite=True, **SMALL)
    assert record.stat().st_mtime_ns != before
    assert len(build.open_split(builder.data_dir, "train")) == 6
    assert capfd.readouterr() == ("", "")


def test_command_line(tmp_path, capsys):
    command = ["dataset", "build", "gazehead_synthetic"]
    settings = [f"--set={k}={v}" for k, v in SMALL.items()]
    arguments = [*command, "--data_dir", str(tmp_path), *settings]
    assert cli.main([*arguments, "--set=clean=true"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["train", "6", "sequences,"]
    place = next(tmp_path.rglob("dataset_info.json")).parent
    assert "clean-True" in place.parent.name
    assert build.open_split(place, "test")[0].valid.all()
    assert cli.main(["dataset", "info", str(place)]) == 0
    assert capsys.readouterr().out.splitlines() == lines

    assert cli.main([*command, "--set", "fps=fast"]) == 2
    assert "takes a float, got 'fast'" in capsys.readouterr().err
    assert cli.main([*command, "--set", "fps"]) == 2
    assert "OPTION=VALUE" in capsys.readouterr().err
    assert cli.main(["dataset", "build", "nothing"]) == 2
    assert "there is no dataset 'nothing'" in capsys.readouterr().err
    assert cli.main(["dataset", "list"]) == 0
    listing = capsys.readouterr().out
    assert all(name in listing for name in ("default", "clean"))


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GazeheadError, match="could not be written"):
        build.prepare("gazehead_synthetic", tmp_path / "file", **SMALL)


# --- gazehead_folder -----------------------------------------------------------------


def test_a_folder_becomes_a_dataset(tmp_path):
    written = make_folder(tmp_path / "mine")
    (tmp_path / "mine" / "notes.txt").write_text("left alone")
    (tmp_path / "mine" / ".hidden.csv").write_text("left alone")
    build.prepare("gazehead_folder", tmp_path / "data", manual_dir=tmp_path / "mine")
    people, seen = {}, {}
    for split in SPLITS:
        for motion in build.open_split("gazehead_folder", split, tmp_path / "data"):
            people.setdefault(split, set()).add(motion.subject)
            seen[motion.meta["file"]] = motion
    assert {s: len(p) for s, p in people.items()} == {
        "train": 3,
        "validation": 1,
        "test": 1,
    }
    assert len(set.union(*people.values())) == 5
    assert seen.keys() == written.keys()
    for key, motion in seen.items():
        assert motion.subject == key.split("/")[0]
        assert motion.fps == written[key].fps
        # A .csv keeps five decimals of a degree, and no gaze that must not be used.
        native = key.endswith(".npz")
        kept = np.ones(len(motion), bool) if native else motion.valid
        near = functools.partial(np.testing.assert_allclose, atol=0 if native else 1e-6)
        near(motion.gaze[kept], written[key].gaze[kept])
        near(motion.head, written[key].head)
        np.testing.assert_array_equal(motion.valid, written[key].valid)


def test_who_is_in_a_file(tmp_path):
    motion = simulate(1, seed=1)
    save_motion(tmp_path / "anna.csv", motion)
    save_motion(tmp_path / "bert" / "a" / "1.csv", motion)
    save_motion(tmp_path / "bert" / "2.npz", motion.replace(subject="carl"))
    names = [
        folder_builder._load(tmp_path, path).subject
        for path in folder_builder._files(tmp_path)
    ]
    assert sorted(names) == ["anna", "bert", "carl"]


def test_people_are_split_by_name_alone():
    config = folder_builder.FolderConfig(name="c")
    people = [f"p{i}" for i in range(40)]
    splits = folder_builder.split_people(people, config)
    assert {s: len(p) for s, p in splits.items()} == {
        "train": 32,
        "validation": 4,
        "test": 4,
    }
    assert sorted(sum(splits.values(), [])) == sorted(people)
    assert folder_builder.split_people(people[::-1], config) == splits
    # Not simply in the order of their names.
    assert splits["validation"] != sorted(people)[:4]

    no_test = folder_builder.FolderConfig(
        name="c", test_fraction=0.0, validation_fraction=0.5
    )
    splits = folder_builder.split_people(people[:2], no_test)
    assert {s: len(p) for s, p in splits.items()} == {"train": 1, "validation": 1}
    mostly_test = folder_builder.FolderConfig(
        name="c", test_fraction=0.45, validation_fraction=0.45
    )
    splits = folder_builder.split_people(people[:3], mostly_test)
    assert all(len(p) == 1 for p in splits.values())


def test_bad_folders_are_explained_and_leave_nothing(tmp_path):
    motion = simulate(1)

    def attempt(match, **options):
        with pytest.raises(GazeheadError, match=match):
            build.prepare(
                "gazehead_folder", data, manual_dir=tmp_path / "mine", **options
            )
        assert not list(data.rglob("*.array_record*"))
        assert not list(data.rglob("*incomplete*"))

    data, mine = tmp_path / "data", tmp_path / "mine"
    attempt("expected a folder with it as manual_dir")
    mine.mkdir()
    attempt("expected a folder with it as manual_dir")
    (mine / "readme.md").write_text("hello")
    attempt("got none")
    for name in ("anna", "bert"):
        save_motion(mine / f"{name}.npz", motion)
    attempt("3 splits need as many people, got 2 .anna, bert.")
    save_motion(mine / "carl.csv", motion.replace(head=None))
    attempt(r"carl\.csv: there is gaze but no head")
    (mine / "carl.csv").write_text("time_s,gaze\n0,1\n")
    attempt(r"carl\.csv: missing column")
    (mine / "carl.csv").unlink()
    lost = motion.replace(valid=np.zeros(len(motion), bool))
    save_motion(mine / "carl.npz", lost)
    attempt(r"carl\.npz: no frame is valid")
    (mine / "carl.npz").write_bytes(b"not a zip")
    attempt(r"carl\.npz: not a readable")
    # A file whose own story is told by its content still is named.
    save_motion(mine / "carl.npz", motion)
    fields = dict(np.load(mine / "carl.npz"))
    np.savez(mine / "carl.npz", **{**fields, "gaze": fields["gaze"] * 60})
    attempt(r"carl\.npz.*radians")
    attempt("leave something to train on", test_fraction=0.9)


def test_other_files_are_not_silently_ignored(tmp_path):
    mine, data = tmp_path / "mine", tmp_path / "data"
    make_folder(mine, people=3)
    build.prepare("gazehead_folder", data, manual_dir=mine)
    build.prepare("gazehead_folder", data, manual_dir=mine)
    build.prepare("gazehead_folder", data)
    save_motion(mine / "person0" / "new.npz", simulate(1, seed=99))
    with pytest.raises(GazeheadError, match="prepared from other files"):
        build.prepare("gazehead_folder", data, manual_dir=mine)
    # What was there survives a failure to replace it.
    (mine / "person1" / "bad.csv").write_text("nonsense")
    with pytest.raises(GazeheadError, match=r"bad\.csv"):
        build.prepare("gazehead_folder", data, manual_dir=mine, overwrite=True)
    total = sum(len(build.open_split("gazehead_folder", s, data)) for s in SPLITS)
    assert total == 6
    (mine / "person1" / "bad.csv").unlink()
    build.prepare("gazehead_folder", data, manual_dir=mine, overwrite=True)
    total = sum(len(build.open_split("gazehead_folder", s, data)) for s in SPLITS)
    assert total == 7
    assert not list(data.rglob(".new-*"))


def test_meta_of_a_file_is_kept(tmp_path):
    motion = simulate(1, seed=3).replace(meta={"camera": "left"}, subject="a")
    save_motion(tmp_path / "x.npz", motion)
    loaded = folder_builder._load(tmp_path, tmp_path / "x.npz")
    assert json.loads(json.dumps(loaded.meta)) == {"camera": "left", "file": "x.npz"}
