from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from napari_nucleigan.base.errors import ExtraError, ModelError, OutputError
from napari_nucleigan.cli.app import app
from napari_nucleigan.models import Model, ModelCard, exchange, load_model
from napari_nucleigan.networks import build
from napari_nucleigan.networks.generators import initialise

if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13):
    pytest.skip("the extra 'exchange' needs torch 2.13", allow_module_level=True)

# The zoo's library leaves the package open.
left_open = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

SMALL = {"name": "compact-unet", "widths": [4, 4]}


@pytest.fixture(scope="module")
def model() -> Model:
    network = build(SMALL)
    initialise(network, "he", 0)
    card = ModelCard(
        name="a model: of mine",
        kind="segmenter",
        architecture=SMALL,
        encoding="distance",
        mpp=0.25,
        licence="CC BY 4.0 (as the training data)",
    )
    return Model(card, Path("model.safetensors"), network.eval().requires_grad_(False))


@pytest.fixture(scope="module")
def package(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    picture = np.random.default_rng(0).integers(0, 256, (300, 270, 3), dtype=np.uint8)
    return exchange.export_bioimageio(model, tmp_path_factory.mktemp("zoo") / "model.zip", picture)


@pytest.fixture(scope="module")
def graph(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exchange.export_onnx(model, tmp_path_factory.mktemp("onnx") / "model.onnx")


@pytest.mark.parametrize("shape", [(1, 3, 256, 256), (2, 3, 96, 160)])
def test_the_graph_gives_the_field_of_the_network_at_any_size(
    model: Model, graph: Path, shape: tuple[int, ...]
) -> None:
    images = np.random.default_rng(1).integers(0, 256, shape).astype(np.float32)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    (field,) = session.run(["field"], {"images": images})

    with torch.inference_mode():
        assert np.allclose(field, model.network(torch.from_numpy(images) / 127.5 - 1).numpy(), atol=1e-3)


def test_the_graph_is_valid_and_carries_the_card(model: Model, graph: Path) -> None:
    found = onnx.load(graph)

    onnx.checker.check_model(found, full_check=True)
    assert [each.version for each in found.opset_import if each.domain == ""] == [exchange.OPSET]
    said = {each.key: each.value for each in found.metadata_props}
    assert ModelCard.model_validate(json.loads(said["nucleigan"])) == model.card
    assert said["mpp"] == "0.25"


def test_a_graph_of_one_size_leaves_nothing_open(model: Model, tmp_path: Path) -> None:
    stride = model.network.stride
    found = onnx.load(exchange.export_onnx(model, tmp_path / "model.onnx", 4 * stride))

    for value in (*found.graph.input, *found.graph.output):
        assert [each.dim_value for each in value.type.tensor_type.shape.dim] == [1, 3, 4 * stride, 4 * stride]
    images = np.random.default_rng(1).integers(0, 256, (1, 3, 4 * stride, 4 * stride)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        wanted = model.network(torch.from_numpy(images) / 127.5 - 1).numpy()
    assert np.allclose(session.run(["field"], {"images": images})[0], wanted, atol=1e-3)
    for wrong in (stride, 4 * stride + 1):
        with pytest.raises(ModelError, match=f"a multiple of {stride}"):
            exchange.export_onnx(model, tmp_path / "none.onnx", wrong)


@left_open
def test_the_zoo_finds_the_package_valid_and_runs_it(package: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bioimageio.core import test_model

        summary = test_model(package)

    assert summary.status == "passed", summary.format()


@left_open
def test_the_package_says_what_the_card_says(package: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bioimageio.spec import load_model_description

        found = load_model_description(package)

    assert found.license == "CC-BY-4.0"
    assert [str(name) for name in found.outputs[0].axes[1].channel_names] == ["interior", "contour", "distance"]
    assert [axis.scale for axis in found.inputs[0].axes[2:]] == [0.25, 0.25]
    assert found.name == "a model- of mine"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("CC BY-NC-SA 4.0 (as the training data)", "CC-BY-NC-SA-4.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("CC0", "CC0-1.0"),
    ],
)
def test_licences_get_their_spdx_names(model: Model, said: str, name: str) -> None:
    assert exchange.spdx(model.card.model_copy(update={"licence": said})) == name


def test_without_a_licence_there_is_no_package(model: Model, tmp_path: Path) -> None:
    bare = Model(model.card.model_copy(update={"licence": ""}), model.path, model.network)

    with pytest.raises(ModelError, match="needs a licence"):
        exchange.export_bioimageio(bare, tmp_path / "model.zip", np.zeros((256, 256, 3), np.uint8))

    assert not list(tmp_path.iterdir())


def test_who_exports_a_model_of_their_own_names_its_licence(model: Model) -> None:
    own = Model(model.card.model_copy(update={"licence": ""}), model.path, model.network)

    assert exchange.spdx(exchange.licensed(own, "CC0").card) == "CC0-1.0"
    assert exchange.licensed(model, "CC BY 4.0").card == model.card
    with pytest.raises(ModelError, match="cannot be passed on under 'CC0'"):
        exchange.licensed(model, "CC0")


def test_the_page_of_a_package_tells_the_scores_in_words(model: Model) -> None:
    scores = {"Kumar": {"all": {"aji": 0.61, "f1": 0.77}, "liver": {"aji": 0.5}}, "validation": {"aji": 0.65}}

    assert exchange._scores(model.card.model_copy(update={"scores": scores})) == [
        "- Kumar: aji 0.61, f1 0.77",
        "- validation: aji 0.65",
    ]
    assert exchange._scores(model.card) == ["There are no scores on the card."]


def test_a_synthesizer_stays_at_home(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="only segmenters"):
        exchange.export_onnx(load_model("nucleigan-paint"), tmp_path / "model.onnx")


def test_without_the_extra_it_is_said_how_to_install_it(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "find_spec", lambda name: None)

    with pytest.raises(ExtraError, match=r"napari-nucleigan\[exchange\]"):
        exchange.export_onnx(model, tmp_path / "model.onnx")


def test_a_place_that_cannot_be_written_is_named(model: Model, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_graph", lambda model, side: graph.read_bytes())

    with pytest.raises(OutputError):
        exchange.export_onnx(model, "/proc/none/model.onnx")


def test_the_file_is_named_after_the_model_and_takes_nobodys_place(
    model: Model, package: Path, graph: Path, tmp_path: Path
) -> None:
    assert exchange.target(model.card, tmp_path, "onnx") == tmp_path / "a model_ of mine.onnx"
    assert exchange.target(model.card, package, "bioimageio") == package
    assert exchange.target(model.card, graph, "onnx") == graph
    (tmp_path / "mine.zip").write_bytes(b"precious")

    with pytest.raises(OutputError, match="not made by this program"):
        exchange.target(model.card, tmp_path / "mine.zip", "bioimageio")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "bioimageio", "--side", "256"], "--side"),
        (["--licence", "CC0"], "--licence"),
        (["--format", "onnx", "--licence", "CC0"], "cannot be passed on"),
    ],
)
def test_options_that_do_nothing_there_are_refused(tmp_path: Path, options: list[str], said: str) -> None:
    found = CliRunner().invoke(app, ["models", "export", "nucleigan-he", "-o", str(tmp_path / "out"), *options])

    assert found.exit_code
    assert said in found.output
    assert not list(tmp_path.iterdir())


def test_the_command_exports(tmp_path: Path, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_graph", lambda model, side: graph.read_bytes())

    found = CliRunner().invoke(app, ["models", "export", "nucleigan-he", "-o", str(tmp_path), "--format", "onnx"])

    assert found.exit_code == 0, found.output
    assert (tmp_path / "nucleigan-he.onnx").read_bytes() == graph.read_bytes()


def test_loggers_are_as_loud_as_before(graph: Path) -> None:
    assert logging.getLogger("onnxscript").level == logging.NOTSET
