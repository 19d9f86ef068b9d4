"""Exchange: models as other programs take them, ONNX graphs and packages of the BioImage Model Zoo.

Both hold the network alone: (N, 3, H, W) float32 RGB in 0 to 255 at the card's microns per pixel goes in, the field
comes out. Cutting the field into nuclei, and bringing stains to the card's reference, is left to whoever takes them.
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.errors import ExtraError, ModelError
from napari_nucleigan.base.files import MARK, atomic_write, refuse_foreign, write_bytes
from napari_nucleigan.base.text import file_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_nucleigan.models import Model
    from napari_nucleigan.models.registry import ModelCard

OPSET = 18
"""Version of ONNX's operators that graphs are written in."""

FIELD_CHANNELS = {"distance": ("interior", "contour", "distance"), "three-class": ("inside", "boundary", "background")}
"""What the channels of a field are, by encoding; the other encodings have one thing three times."""

# As SPDX writes what cards say.
_LICENCES = {
    r"CC BY-NC-SA 4\.0": "CC-BY-NC-SA-4.0",
    r"CC BY-NC 4\.0": "CC-BY-NC-4.0",
    r"CC BY-SA 4\.0": "CC-BY-SA-4.0",
    r"CC BY 4\.0": "CC-BY-4.0",
    r"CC0": "CC0-1.0",
    r"MIT": "MIT",
    r"BSD": "BSD-3-Clause",
    r"Apache": "Apache-2.0",
}
# A package, which is compressed, says by the names of its files that this program has made it.
_GRAPH = f"{MARK.decode()}.onnx"
_SIDE = 256  # of the pictures that a package is tested with


SUFFIXES = {"onnx": ".onnx", "bioimageio": ".zip"}
"""Suffix of the files of each format."""


def target(card: ModelCard, out: str | Path, form: str) -> Path:
    """Return the file that a model is exported to: `out`, or in that folder one of the model's name.

    Raises
    ------
    OutputError
        If there is something that this program has not made.
    """
    path = Path(out)
    if path.suffix != SUFFIXES[form]:
        path = path / f"{file_name(card.name)}{SUFFIXES[form]}"
    refuse_foreign(path)
    return path


def licensed(model: Model, licence: str) -> Model:
    """Return a model whose card says under which licence it is passed on, where it did not say so.

    Raises
    ------
    ModelError
        If the card names another licence.
    """
    if model.card.licence_name not in ("", licence):
        raise ModelError(
            f"The card of {model.card.name!r} says that it is under {model.card.licence}; it cannot be passed on under "
            f"{licence!r}."
        )
    return replace(model, card=model.card.model_copy(update={"licence": model.card.licence or licence}))


def export_onnx(model: Model, out: str | Path, side: int | None = None) -> Path:
    """Write the network of a segmenter as an ONNX graph, whole or not at all.

    Its input ``images`` is float32, (batch, 3, height, width), RGB in 0 to 255, both sides multiples of the network's
    stride; its output ``field`` is as large, in [-1, 1]. The card lies in the metadata of the graph.

    Parameters
    ----------
    model : Model
        A segmenter.
    out : str or Path
        The file.
    side : int, optional
        Height and width of the images in pixels, which then come one at a time: OpenCV reads no graph that leaves them
        open. By default any size and number.

    Returns
    -------
    Path

    Raises
    ------
    ExtraError
        If the extra ``exchange`` is not installed.
    ModelError
        If the model is no segmenter, its network cannot be written so, or takes no images of that size.
    OutputError
        If the file cannot be written.
    """
    stride = int(getattr(model.network, "stride", 1))
    if side is not None and (side < 2 * stride or side % stride):
        raise ModelError(
            f"The network of {model.card.name!r} takes no images of {side} pixels a side; choose a multiple of "
            f"{stride}, from {2 * stride} on."
        )
    write_bytes(out, _graph(model, side))
    return Path(out)


def export_bioimageio(model: Model, out: str | Path, test_image: NDArray[np.uint8]) -> Path:
    """Write a segmenter as a package of the BioImage Model Zoo (format 0.5): its ONNX graph, and a test of it.

    Parameters
    ----------
    model : Model
        A segmenter.
    out : str or Path
        The file, ``.zip``.
    test_image : (H, W, 3) uint8 array
        H&E at the model's scale, of 256 pixels a side at least; its middle goes into the package as the test.

    Returns
    -------
    Path

    Raises
    ------
    ExtraError
        If the extra ``exchange`` is not installed.
    ModelError
        If the model is no segmenter, its licence is none that the zoo knows, or its network cannot be written so.
    OutputError
        If the file cannot be written.
    """
    import numpy as np
    import torch

    licence = spdx(model.card)
    graph = _graph(model)
    top, left = ((length - _SIDE) // 2 for length in test_image.shape[:2])
    images = np.moveaxis(test_image[top : top + _SIDE, left : left + _SIDE], -1, 0)[None].astype(np.float32)
    with torch.inference_mode():
        field = model.network(torch.from_numpy(images) / 127.5 - 1).numpy()
    with TemporaryDirectory() as folder, atomic_write(out) as temporary:
        parts = Path(folder)
        (parts / _GRAPH).write_bytes(graph)
        np.save(parts / "images.npy", images)
        np.save(parts / "field.npy", field)
        (parts / "README.md").write_text(_readme(model.card), encoding="utf-8")
        _package(model, licence, parts, temporary)
    return Path(out)


def spdx(card: ModelCard) -> str:
    """Return the SPDX name of a card's licence.

    Raises
    ------
    ModelError
        If the card names none, or another one.
    """
    for pattern, name in _LICENCES.items():
        if re.search(pattern, card.licence):
            return name
    known = ", ".join(_LICENCES.values())
    raise ModelError(
        f"A package of the BioImage Model Zoo needs a licence, and the card of {card.name!r} says {card.licence!r}; "
        f"name one of {known} (--licence), or export it as ONNX."
    )


def _graph(model: Model, side: int | None = None) -> bytes:
    _needs("onnx", "onnxscript")
    if model.card.kind != "segmenter":
        raise ModelError(f"{model.card.name!r} is a {model.card.kind}; only segmenters are exported to other formats.")
    import torch

    class FromBytes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = model.network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            field: torch.Tensor = self.network(images / 127.5 - 1)
            return field

    stride = int(model.network.stride)
    batch, rows, columns = (torch.export.Dim(name) for name in ("batch", "rows", "columns"))
    length = side or max(_SIDE, 2 * stride)
    example = torch.zeros(1, 3, length, length)
    sizes = None if side else {"images": {0: batch, 2: stride * rows, 3: stride * columns}}
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                FromBytes().eval(),
                (example,),
                dynamo=True,
                input_names=["images"],
                output_names=["field"],
                dynamic_shapes=sizes,
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # whatever of a network the exporter does not know
        name = model.card.architecture.get("name", "?")
        raise ModelError(f"The network {name!r} cannot be written as ONNX: {str(error).splitlines()[0]}.") from error
    proto = program.model_proto
    for key, value in {"nucleigan": model.card.model_dump_json(), "mpp": f"{model.card.mpp:g}"}.items():
        proto.metadata_props.add(key=key, value=value)
    content: bytes = proto.SerializeToString()
    return content


def _package(model: Model, licence: str, parts: Path, out: Path) -> None:
    _needs("bioimageio.spec")
    with _quiet():
        from bioimageio.spec import save_bioimageio_package
        from bioimageio.spec.model import v0_5 as zoo

        card, stride = model.card, int(model.network.stride)
        channels = FIELD_CHANNELS.get(card.encoding, tuple(f"{card.encoding}_{number}" for number in range(3)))
        size = zoo.ParameterizedSize(min=_SIDE, step=stride)

        def sides(axis: Any, **same: Any) -> list[Any]:
            return [
                axis(
                    id=zoo.AxisId(name),
                    size=same.get(name, size),
                    scale=card.mpp,
                    unit="micrometer",
                )
                for name in "yx"
            ]

        following = {
            name: zoo.SizeReference(tensor_id=zoo.TensorId("images"), axis_id=zoo.AxisId(name)) for name in "yx"
        }
        description = zoo.ModelDescr(
            name=re.sub(r"[^\w+\-() ]", "-", card.name)[:64].ljust(5, "-"),
            description=f"Nuclei of H&E images at {card.mpp:g} microns per pixel, as a field of the encoding "
            f"{card.encoding!r}.",
            authors=[zoo.Author(name="The napari-nucleigan developers")],
            cite=[
                zoo.CiteEntry(
                    text="Mahmood et al., Deep Adversarial Training for Multi-Organ Nuclei Segmentation in "
                    "Histopathology Images, IEEE TMI 39(11), 2020",
                    doi=zoo.Doi("10.1109/TMI.2019.2927182"),
                )
            ],
            license=zoo.LicenseId(licence),
            tags=["nuclei", "histopathology", "h-and-e", "segmentation", "2d"],
            documentation=zoo.FileDescr(source=parts / "README.md"),
            inputs=[
                zoo.InputTensorDescr(
                    id=zoo.TensorId("images"),
                    description="RGB, 0 to 255",
                    axes=[
                        zoo.BatchAxis(),
                        zoo.ChannelAxis(channel_names=[zoo.Identifier(name) for name in ("red", "green", "blue")]),
                        *sides(zoo.SpaceInputAxis),
                    ],
                    data=zoo.IntervalOrRatioDataDescr(type="float32", range=(0, 255)),
                    test_tensor=zoo.FileDescr(source=parts / "images.npy"),
                )
            ],
            outputs=[
                zoo.OutputTensorDescr(
                    id=zoo.TensorId("field"),
                    description="-1 where absent, 1 where present",
                    axes=[
                        zoo.BatchAxis(),
                        zoo.ChannelAxis(channel_names=[zoo.Identifier(name.replace("-", "_")) for name in channels]),
                        *sides(zoo.SpaceOutputAxis, **following),
                    ],
                    data=zoo.IntervalOrRatioDataDescr(type="float32", range=(-1, 1)),
                    test_tensor=zoo.FileDescr(source=parts / "field.npy"),
                )
            ],
            weights=zoo.WeightsDescr(onnx=zoo.OnnxWeightsDescr(source=parts / _GRAPH, opset_version=OPSET)),
        )
        save_bioimageio_package(description, output_path=out)


def _readme(card: ModelCard) -> str:
    decode = ", ".join(f"{name} {value:g}" for name, value in card.decode.items() if isinstance(value, int | float))
    stain = "Bring stains to the reference on the model's card first." if card.stain else ""
    return "\n".join(
        (
            f"# {card.name}",
            "",
            f"Nuclei of H&E images at {card.mpp:g} microns per pixel. {stain}",
            "",
            f"The field (encoding {card.encoding!r}) is in [-1, 1]. It is cut into nuclei by napari-nucleigan "
            f"(`napari_nucleigan.masks.encoding.decode`; {decode or 'with its defaults'}).",
            "",
            "## Validation",
            "",
            *_scores(card),
            "",
            f"Training data: {card.training_data or 'not said'}. Licence: {card.licence}. {card.notes}",
            "",
        )
    )


def _scores(card: ModelCard) -> list[str]:
    """Lay the scores of a card out as a list: those of all tiles, where it tells them of each organ too."""
    lines = []
    for name, scores in card.scores.items():
        every = scores.get("all", scores) if isinstance(scores, dict) else {}
        figures = [f"{key} {value:g}" for key, value in every.items() if isinstance(value, int | float)]
        if figures:
            lines.append(f"- {name}: {', '.join(figures)}")
    return lines or ["There are no scores on the card."]


def _needs(*packages: str) -> None:
    for package in packages:
        found = None
        with suppress(ModuleNotFoundError):
            found = find_spec(package)
        if found is None:
            raise ExtraError(
                f"Exporting to this format needs {package}, which is not installed: run "
                "pip install 'napari-nucleigan[exchange]'."
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporters warn of to themselves: nothing that a user could act upon."""
    import logging

    names = ("torch.onnx", "onnxscript", "onnx_ir", "bioimageio")
    before = [(logger, logger.level) for logger in map(logging.getLogger, names)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger, _ in before:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in before:
                logger.setLevel(level)
