"""Reads networks in OpenVINO's IR: a graph in XML beside its constants in a .bin file.

Only what a converter needs, with nothing but the standard library and NumPy: layers,
their attributes and output shapes, edges, and constants. IR versions 10 and 11.
"""

import dataclasses
import math
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from gazehead_jax.errors import GazeheadError, require

_TYPES = {"f16": "<f2", "f32": "<f4", "i32": "<i4", "i64": "<i8"}


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One operation.

    Attributes:
      id, name, type: as in the XML; ids are unique.
      attributes: as text, e.g. {"strides": "2,2"}.
      inputs: ids of the layers whose outputs it takes, by port.
      shape: of its output, with a batch of one; () for a result.
      value: of a constant, FP16 widened to float32; None for all others.
    """

    id: str
    name: str
    type: str
    attributes: dict[str, str]
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    value: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """A network: its layers by id, in the file's order."""

    path: Path
    layers: dict[str, Layer]

    def named(self, name: str, kind: str) -> Layer:
        """The layer of that name and type.

        Raises:
          GazeheadError: there is none.
        """
        for layer in self.layers.values():
            if (layer.name, layer.type) == (name, kind):
                return layer
        raise GazeheadError(
            f"{self.path}: the network must have a {kind} named {name!r}, got none; this "
            "is another network."
        )

    def users(self, layer: Layer) -> list[Layer]:
        """The layers that take this one's output."""
        return [user for user in self.layers.values() if layer.id in user.inputs]


def read_ir(path: str | os.PathLike) -> Graph:
    """The network in `path`, an .xml whose .bin lies beside it.

    Raises:
      GazeheadError: a file is missing, the XML is no IR, a type is not known, or the .bin
        is shorter or longer than the XML says.
    """
    path = Path(path)
    root = _xml(path)
    constants = _bytes(path.with_suffix(".bin"))
    inputs = _inputs(root, path)
    layers, end = {}, 0
    for element in root.iterfind("layers/layer"):
        layer, stop = _layer(element, inputs, constants, path)
        layers[layer.id] = layer
        end = max(end, stop)
    require(bool(layers), f"{path}: an IR must have layers, got none.")
    missing = {i for ids in inputs.values() for i in ids} - layers.keys()
    require(
        not missing, f"{path}: edges lead from layers {missing}, which are not there."
    )
    require(
        end == len(constants),
        f"{path.with_suffix('.bin')}: the XML describes {end} bytes, got {len(constants)}; "
        "the two files do not belong together.",
    )
    return Graph(path, layers)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GazeheadError(
            f"{path}: cannot be read ({error.strerror or error}); an IR is an .xml and a "
            ".bin of one name in one folder."
        ) from error


def _xml(path: Path) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(_bytes(path))
    except ElementTree.ParseError as error:
        raise GazeheadError(
            f"{path}: not an XML file ({error}); expected an OpenVINO IR."
        ) from error
    version = root.get("version", "")
    require(
        root.tag == "net" and version in ("10", "11"),
        f"{path}: expected an OpenVINO IR, <net version='10'> or '11', got "
        f"<{root.tag} version={version!r}>.",
    )
    return root


def _inputs(root: ElementTree.Element, path: Path) -> dict[str, tuple[str, ...]]:
    """Sources by consumer, in the order of its ports."""
    edges: dict[str, list[tuple[int, str]]] = {}
    try:
        for edge in root.iterfind("edges/edge"):
            port = int(edge.attrib["to-port"])
            edges.setdefault(edge.attrib["to-layer"], []).append(
                (port, edge.attrib["from-layer"])
            )
    except (KeyError, ValueError) as error:
        raise GazeheadError(f"{path}: an edge lacks its ends ({error}).") from error
    return {
        to: tuple(source for _, source in sorted(ends)) for to, ends in edges.items()
    }


def _layer(element, inputs, constants: bytes, path: Path) -> tuple[Layer, int]:
    """A layer, and where its constant ends in the .bin (0 without one)."""
    data = element.find("data")
    attributes = {} if data is None else dict(data.attrib)
    try:
        id_, name, kind = (element.attrib[key] for key in ("id", "name", "type"))
        port = element.find("output/port")
        dims = [] if port is None else port.iterfind("dim")
        shape = tuple(int(dim.text or "") for dim in dims)
        value, end = None, 0
        if kind == "Const":
            start, size = int(attributes["offset"]), int(attributes["size"])
            dtype = attributes["element_type"]
            end = start + size
    except (KeyError, ValueError) as error:
        raise GazeheadError(
            f"{path}: a layer is not written as in an OpenVINO IR ({error!r})."
        ) from error
    if kind == "Const":
        what = f"{path.with_suffix('.bin')}: constant {name!r}"
        require(
            dtype in _TYPES,
            f"{what} must be one of {sorted(_TYPES)}, got {dtype!r}; take the FP16 or FP32 "
            "version of the network.",
        )
        require(
            0 <= start and end <= len(constants),
            f"{what} lies at bytes {start} to {end}, got a file of {len(constants)} bytes; "
            "it is truncated or belongs to another .xml.",
        )
        count = math.prod(shape)
        require(
            count * np.dtype(_TYPES[dtype]).itemsize == size,
            f"{what} has shape {shape} in {dtype}, which is not its {size} bytes.",
        )
        value = np.frombuffer(constants, _TYPES[dtype], count, start).reshape(shape)
        if dtype == "f16":
            value = value.astype(np.float32)
    return Layer(id_, name, kind, attributes, inputs.get(id_, ()), shape, value), end
