"""Preparing and opening datasets: the TFDS builders, without TensorFlow.

    builder = prepare("gazehead_synthetic/clean", "data")
    motions = open_split("gazehead_synthetic/clean", "train", "data")
    motions[0].gaze

or `gazehead dataset build gazehead_synthetic/clean --data-dir data`. TFDS's own ways work
too, once the builder's module is imported: `tfds.data_source(name, ...)`.
"""

import contextlib
import dataclasses
import difflib
import importlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow_datasets as tfds
from absl import logging
from etils import epath

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.files import unwritable
from gazehead_jax.motion import Motion
from gazehead_jax.motion_builder import MotionBuilder, from_example

BUILDERS = {
    name: f"gazehead_jax.datasets.{name}.{name}_dataset_builder"
    for name in (
        "gazehead_sample",
        "gazehead_synthetic",
        "gazehead_folder",
        "eyehead_recordings",
        "gazehead_videos",
        "celebv_text",
    )
}


class Motions(Sequence):
    """The motions of one split, read when asked for; can be pickled to workers."""

    def __init__(self, source: Sequence, name: str):
        self._source, self.name = source, name

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Motion:
        index = range(len(self))[index]  # Negative ones too; IndexError at the end.
        return from_example(self._source[index])

    def __repr__(self) -> str:
        return f"Motions({self.name!r}, {len(self)})"


def make_builder(
    name: str, data_dir: str | os.PathLike | None = None, **options
) -> MotionBuilder:
    """The TFDS builder of "name" or "name/config".

    Args:
      name: one of `BUILDERS`, with the name of a config or the builder's first one.
      data_dir: where datasets lie; TFDS's default if None.
      **options: fields of the builder's config to change. They become part of the
        config's name, as in "default+fps-50", so that each variant has its own place.

    Raises:
      GazeheadError: an unknown builder, config or option.
    """
    cls, config = _resolve(name)
    if options:
        config = _changed(cls, config, options)
    with _quiet():
        return cls(data_dir=data_dir and os.fspath(data_dir), config=config)


def prepare(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    manual_dir: str | os.PathLike | None = None,
    overwrite: bool = False,
    beam: Sequence[str] = (),
    **options,
) -> MotionBuilder:
    """Prepares a dataset unless it is there; whole or not at all.

    Args:
      name, data_dir, options: see `make_builder`.
      manual_dir: the user's own copy, for builders that read one.
      overwrite: prepare again; the old data stay until the new are complete.
      beam: options of Apache Beam as in "runner=FlinkRunner", for builders that run
        on it.

    Raises:
      GazeheadError: see `make_builder`; also unusable source files, no manual_dir
        where one is needed, data already prepared from other files, or a data_dir
        that cannot be written.
    """
    builder = make_builder(name, data_dir, **options)
    place = _path(builder.data_dir)
    manual_dir = None if manual_dir is None else _path(manual_dir).expanduser()
    there = (place / "dataset_info.json").exists()
    if there and not overwrite and manual_dir is None:
        return builder
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        require(
            manual_dir is not None
            and manual_dir.is_dir()
            and any(manual_dir.iterdir()),
            f"{name} is built from your own copy, expected a folder with it as "
            f"manual_dir, got {manual_dir or 'nothing'}. "
            f"{builder.MANUAL_DOWNLOAD_INSTRUCTIONS}",
        )
    fingerprint = builder.fingerprint(manual_dir)
    if there and not overwrite:
        require(
            builder.info.metadata.get("fingerprint", "") in ("", fingerprint),
            f"{place} was prepared from other files than {manual_dir} has now; "
            "overwrite it, or choose another data_dir.",
        )
        return builder
    downloads = _path(builder.data_dir_root) / "downloads"
    try:
        if not there:
            _generate(builder, downloads, manual_dir, fingerprint, beam)
            return builder
        # Beside the old data, which TFDS itself would delete before it has new ones.
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as beside:
            with _quiet():
                new = type(builder)(data_dir=beside, config=builder.builder_config)
            _generate(new, downloads, manual_dir, fingerprint, beam)
            shutil.rmtree(place)
            Path(new.data_dir).rename(place)
    except OSError as error:
        # Another process of the same run may have been quicker.
        if not there and (place / "dataset_info.json").exists():
            return make_builder(name, data_dir, **options)
        raise unwritable(place, error) from error
    return make_builder(name, data_dir, **options)


def _path(path: str | os.PathLike):
    """A local path, or one of a URL such as gs://…: workers may be elsewhere."""
    return epath.Path(path) if "://" in os.fspath(path) else Path(path)


def _generate(builder, downloads, manual_dir, fingerprint, beam):
    beam_options = getattr(builder, "beam_options", None)
    require(
        beam_options is not None or not beam,
        f"{builder.name} does not run on Apache Beam; leave out --beam {beam}.",
    )
    config = tfds.download.DownloadConfig(
        manual_dir=manual_dir and os.fspath(manual_dir),
        beam_options=beam_options and beam_options(beam),
    )
    with _quiet():
        builder.info.metadata["fingerprint"] = fingerprint
        builder.download_and_prepare(
            download_dir=os.fspath(downloads), download_config=config
        )


def open_split(
    name_or_dir: str | os.PathLike,
    split: str,
    data_dir: str | os.PathLike | None = None,
) -> Motions:
    """The motions of a prepared dataset's split.

    Args:
      name_or_dir: a name as in `make_builder`, also one with options such as
        "gazehead_synthetic/default+fps-50"; or the directory of any prepared dataset
        with the features of `motion_features`.
      split: "train", "validation", "test", or part of one in TFDS's notation.
      data_dir: where datasets lie; TFDS's default if None.

    Raises:
      GazeheadError: nothing is prepared there, no such split, or other features.
    """
    place = _prepared_place(name_or_dir, data_dir)
    with _quiet():
        builder = tfds.builder_from_directory(place)
    missing = {"gaze", "head", "valid", "fps", "subject", "source", "meta"} - set(
        builder.info.features
    )
    require(
        not missing,
        f"{place}: not a dataset of motions, it lacks {', '.join(sorted(missing))}.",
    )
    try:
        source = builder.as_data_source(split)
    except (ValueError, KeyError, AssertionError) as error:
        raise GazeheadError(
            f"{name_or_dir} has no split {split!r}; it has "
            f"{', '.join(builder.info.splits)}."
        ) from error
    return Motions(source, f"{name_or_dir} {split}")


def _prepared_place(name_or_dir, data_dir) -> Path:
    """The directory of a dataset that is prepared, named or given itself."""
    place = Path(name_or_dir)
    if (place / "dataset_info.json").exists():
        return place
    require(
        str(name_or_dir).split("/")[0] in BUILDERS or not place.is_dir(),
        f"{place}: the directory of a prepared dataset has a dataset_info.json, "
        "got a directory without; go down to its version, as in NAME/CONFIG/1.0.0.",
    )
    place = prepared_dir(str(name_or_dir), data_dir)
    builder = _builder_class(str(name_or_dir).partition("/")[0])
    require(
        (place / "dataset_info.json").exists(),
        f"{name_or_dir} is not prepared, expected it in {place}; run "
        f"`gazehead dataset build {name_or_dir}` first, with the same data_dir"
        + (
            " and the --manual-dir that its README tells of."
            if builder.MANUAL_DOWNLOAD_INSTRUCTIONS
            else "."
        ),
    )
    return place


def load_split(
    name_or_dir: str | os.PathLike,
    split: str,
    data_dir: str | os.PathLike | None = None,
) -> Motions:
    """`open_split`, after preparing a dataset that needs nothing of the user's."""
    name = str(name_or_dir)
    if (
        name.split("/")[0] in BUILDERS
        and "+" not in name
        and not Path(name).is_dir()
        and not _resolve(name)[0].MANUAL_DOWNLOAD_INSTRUCTIONS
    ):
        prepare(name, data_dir)
    return open_split(name_or_dir, split, data_dir)


def prepared_dir(name: str, data_dir: str | os.PathLike | None = None) -> Path:
    """Where a dataset lies once it is prepared.

    Raises:
      GazeheadError: an unknown builder.
    """
    base, _, config = name.partition("/")
    cls = _builder_class(base)
    if not config and cls.BUILDER_CONFIGS:
        config = cls.BUILDER_CONFIGS[0].name
    root = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    return root / base / config / str(cls.VERSION)


def _builder_class(name: str) -> type[MotionBuilder]:
    _known(name, BUILDERS, "dataset")
    return importlib.import_module(BUILDERS[name]).Builder


def _resolve(name: str) -> tuple[type[MotionBuilder], tfds.core.BuilderConfig | None]:
    base, _, wanted = name.partition("/")
    cls = _builder_class(base)
    configs = {config.name: config for config in cls.BUILDER_CONFIGS}
    if wanted:
        _known(wanted, configs, f"config of {base}")
        return cls, configs[wanted]
    return cls, next(iter(configs.values()), None)


def _known(name: str, choices, what: str) -> None:
    near = difflib.get_close_matches(name, choices, 1, 0.5)
    require(
        name in choices,
        f"there is no {what} {name!r}"
        + (f"; did you mean {near[0]!r}?" if near else ".")
        + f" There are: {', '.join(choices) or 'none'}.",
    )


def _changed(cls, config, options):
    """A config with other values, and a name that tells them."""
    own = set() if config is None else _own_fields(config)
    for option in options:
        _known(option, sorted(own), f"option of {cls.name}")
    # 50 and 50.0 are one rate and must be one name.
    options = {k: type(getattr(config, k))(v) for k, v in options.items()}
    changes = {k: v for k, v in sorted(options.items()) if v != getattr(config, k)}
    if not changes:
        return config
    name = config.name + "".join(
        f"+{k}-{f'{v:g}' if isinstance(v, float) else v}" for k, v in changes.items()
    )
    return dataclasses.replace(config, name=name, **changes)


def _own_fields(config) -> set[str]:
    theirs = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
    return {field.name for field in dataclasses.fields(config)} - theirs


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """TFDS prints and logs nothing; its progress bars are for terminals only."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.display_progress_bar(sys.stderr.isatty())
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(True)
        logging.set_verbosity(verbosity)


def describe(name: str) -> str:
    """A builder's configs and the first sentence of its README, for a listing."""
    cls = _builder_class(name)
    configs = ", ".join(config.name for config in cls.BUILDER_CONFIGS) or "no configs"
    text = (Path(sys.modules[cls.__module__].__file__).parent / "README.md").read_text()
    body = [line for line in text.splitlines() if line and not line.startswith("#")]
    sentence = " ".join(body).split(". ")[0].rstrip(".")
    manual = cls.MANUAL_DOWNLOAD_INSTRUCTIONS
    needs = " Needs --manual-dir: your own copy." if manual else ""
    return f"{name} ({configs})\n    {sentence}.{needs}"


def summary(name_or_dir: str | os.PathLike, data_dir=None) -> str:
    """Where a prepared dataset lies and what each split holds.

    Raises:
      GazeheadError: nothing is prepared there.
    """
    if "://" in str(name_or_dir):
        return f"{name_or_dir}\n  Copy it to a local folder to read it."
    place = _prepared_place(name_or_dir, data_dir)
    lines = [str(place)]
    with _quiet():
        splits = list(tfds.builder_from_directory(place).info.splits)
    for split in splits:
        motions = open_split(place, split)
        people, seconds, valid = set(), 0.0, 0.0
        for i in range(len(motions)):
            motion = motions[i]
            people.add(motion.subject)
            seconds += motion.duration_s
            valid += motion.valid.sum() / motion.fps
        lines.append(
            f"  {split:<11} {len(motions):>6} sequences, {len(people):>4} people, "
            f"{seconds / 60:8.1f} min, {valid / 60:8.1f} min valid"
        )
    return "\n".join(lines)


def parse_options(name: str, settings: list[str]) -> dict:
    """The options of "OPTION=VALUE" texts, typed as the dataset's config has them.

    Raises:
      GazeheadError: not OPTION=VALUE, or a value of the wrong type.
    """
    _, config = _resolve(name)
    options = {}
    for setting in settings:
        option, equals, text = setting.partition("=")
        require(
            bool(equals), f"--set takes OPTION=VALUE as in fps=50, got {setting!r}."
        )
        kind = type(getattr(config, option, text))
        try:
            options[option] = _FROM_TEXT.get(kind, kind)(text)
        except (ValueError, KeyError) as error:
            raise GazeheadError(
                f"--set {option} takes a {kind.__name__}, got {text!r}."
            ) from error
    return options


_FROM_TEXT = {bool: {"true": True, "false": False}.__getitem__}
