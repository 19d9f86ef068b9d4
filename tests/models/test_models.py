from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch

from napari_nucleigan import models, networks
from napari_nucleigan.base.errors import ModelError, OutputError
from napari_nucleigan.models import ModelCard, registry

if TYPE_CHECKING:
    from pathlib import Path

ARCHITECTURE = {"name": "compact-unet", "widths": [8, 8, 8, 8, 8]}


def _card(**values: object) -> ModelCard:
    return ModelCard.model_validate(
        {"name": "tiny", "kind": "segmenter", "architecture": ARCHITECTURE, "mpp": 0.25, **values}
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUCLEIGAN_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return networks.build(ARCHITECTURE)


@pytest.fixture
def path(folder: Path, network: torch.nn.Module) -> Path:
    models.save_model(folder / "tiny.safetensors", network.state_dict(), _card())
    return folder / "tiny.safetensors"


def test_a_model_comes_back_as_it_was_saved(path: Path, network: torch.nn.Module) -> None:
    model = models.load_model(path, "segmenter")
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.network(image), network.eval()(image), rtol=0, atol=0)
    assert not model.network.training
    assert len(model.card.sha256) == 64
    assert models.read_card(path) == model.card


def test_half_precision_halves_the_file_and_loads_as_float32(path: Path, network: torch.nn.Module) -> None:
    half = path.with_name("half.safetensors")
    models.save_model(half, network.state_dict(), _card(name="half"), half=True)
    assert half.stat().st_size < 0.8 * path.stat().st_size
    for value in models.load_model(half).network.state_dict().values():
        assert value.dtype in (torch.float32, torch.int64)


def test_the_checksum_is_of_the_tensors_alone(path: Path, network: torch.nn.Module) -> None:
    card = models.save_model(path.with_name("b.safetensors"), network.state_dict(), _card(name="b", notes="other"))
    assert card.sha256 == models.read_card(path).sha256
    state = network.state_dict()
    first = next(key for key, value in state.items() if value.is_floating_point())
    changed = state | {first: state[first] + 1e-3}
    assert models.save_model(path.with_name("c.safetensors"), changed, _card()).sha256 != card.sha256


def test_reading_a_card_does_not_import_torch(path: Path) -> None:
    code = (
        "import sys; from napari_nucleigan.models import read_card, list_models;"
        f"print(read_card({str(path)!r}).name, len(list_models()));"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("tiny ")


def test_weights_that_are_not_finite_are_not_saved(folder: Path) -> None:
    with pytest.raises(ModelError, match="not finite"):
        models.save_model(folder / "x.safetensors", {"w": torch.tensor([1.0, float("nan")])}, _card())
    assert not (folder / "x.safetensors").exists()


def test_a_read_only_target_is_one_clear_error(tmp_path: Path, network: torch.nn.Module) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="Cannot write"):
        models.save_model(tmp_path / "file" / "x.safetensors", network.state_dict(), _card())


PAINTER = {"name": "painter", "widths": [4, 4, 4], "style_size": 2}


def _painter(path: Path, **values: object) -> torch.nn.Module:
    """Save a small synthesizer of random weights."""
    network = networks.build_synthesizer(PAINTER)
    models.save_model(path, network.state_dict(), _card(kind="synthesizer", architecture=PAINTER, **values))
    return network.eval()


def test_a_synthesizer_comes_back_as_it_was_saved(folder: Path) -> None:
    styles = {"liver": [[1.0, -1.0], [0.5, -0.5]], "breast": [[-1.0, 1.0]]}
    network = _painter(folder / "paint.safetensors", name="paint", styles=styles)
    model = models.load_model("paint", "synthesizer")
    assert model.card.styles == styles
    fields = torch.rand(1, 3, 16, 16) * 2 - 1
    noise, style = network.draw_noise(fields), torch.tensor(styles["breast"])
    with torch.no_grad():
        torch.testing.assert_close(model.network(fields, noise, style), network(fields, noise, style), rtol=0, atol=0)
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert models.read_card(models.export_model("paint", folder / "copy")) == model.card


def test_styles_are_optional_and_checked(folder: Path) -> None:
    _painter(folder / "plain.safetensors", name="plain")
    assert models.read_card(folder / "plain.safetensors").styles == {}
    with pytest.raises(ValueError, match="styles"):
        _card(styles={"liver": ["dark"]})


class TestBadFiles:
    def test_missing(self, folder: Path) -> None:
        with pytest.raises(ModelError, match="no model file"):
            models.load_model(folder / "none.safetensors")
        with pytest.raises(ModelError, match="no model named 'none'"):
            models.load_model("none")

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a model at all, but text", b"\x00" * 64])
    def test_not_safetensors(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "x.safetensors"
        path.write_bytes(content)
        for read in (models.load_model, models.read_card):
            with pytest.raises(ModelError, match="not a model file"):
                read(path)

    def test_a_pickle_is_never_opened(self, tmp_path: Path) -> None:
        torch.save({"w": torch.zeros(3)}, tmp_path / "x.safetensors")
        with pytest.raises(ModelError, match="not a model file"):
            models.load_model(tmp_path / "x.safetensors")

    def test_not_ours(self, tmp_path: Path) -> None:
        from safetensors.torch import save_file

        save_file({"w": torch.zeros(3)}, tmp_path / "x.safetensors", metadata={"format": "pt"})
        for read in (models.load_model, models.read_card):
            with pytest.raises(ModelError, match="not a model of napari-nucleigan"):
                read(tmp_path / "x.safetensors")

    @pytest.mark.parametrize("kept", [0.999, 0.5, 0.001])
    def test_cut_short(self, path: Path, kept: float) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        for read in (models.load_model, models.read_card):
            with pytest.raises(ModelError, match="cut short"):
                read(path)

    def test_full_size_but_half_zero(self, path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))
        with pytest.raises(ModelError, match="damaged"):
            models.load_model(path)
        with pytest.raises(ModelError, match="damaged"):
            models.export_model(path, path.parent / "copy")

    def test_for_another_task(self, path: Path) -> None:
        with pytest.raises(ModelError, match="is a segmenter, but a synthesizer is needed"):
            models.load_model(path, "synthesizer")
        _painter(path.with_name("paint.safetensors"), name="paint")
        with pytest.raises(ModelError, match="is a synthesizer, but a segmenter is needed"):
            models.load_model("paint", "segmenter")

    def test_a_segmenter_that_says_it_paints(self, path: Path, network: torch.nn.Module) -> None:
        models.save_model(path, network.state_dict(), _card(kind="synthesizer"))
        with pytest.raises(ModelError, match="cannot build"):
            models.load_model(path)

    @pytest.mark.parametrize("architecture", [{"name": "no-such-net"}, {}, {"name": "compact-unet", "depth": "?"}])
    def test_an_unknown_network(self, path: Path, network: torch.nn.Module, architecture: dict[str, object]) -> None:
        models.save_model(path, network.state_dict(), _card(architecture=architecture))
        with pytest.raises(ModelError, match="cannot build"):
            models.load_model(path)

    def test_tensors_of_another_network(self, path: Path) -> None:
        models.save_model(path, {"w": torch.zeros(3)}, _card())
        with pytest.raises(ModelError, match="do not fit"):
            models.load_model(path)

    def test_a_newer_card(self, path: Path, network: torch.nn.Module) -> None:
        models.save_model(path, network.state_dict(), _card(format=models.CARD_FORMAT + 1))
        with pytest.raises(ModelError, match="newer version"):
            models.read_card(path)

    @pytest.mark.parametrize("text", ["{}", "[1]", "not json", '{"format": "x"}', '{"name": "a", "kind": "cat"}'])
    def test_an_invalid_card(self, tmp_path: Path, text: str) -> None:
        from safetensors.torch import save_file

        save_file({"w": torch.zeros(3)}, tmp_path / "x.safetensors", metadata={"nucleigan": text})
        with pytest.raises(ModelError, match="card"):
            models.read_card(tmp_path / "x.safetensors")

    def test_every_message_is_one_sentence_with_advice(self, path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ModelError) as caught:
            models.load_model(path)
        assert "\n" not in str(caught.value)
        assert "copy the file again" in str(caught.value)


def test_unknown_fields_of_a_card_are_kept(path: Path, network: torch.nn.Module) -> None:
    models.save_model(path, network.state_dict(), _card(colour="pink"))
    assert json.loads(models.read_card(path).model_dump_json())["colour"] == "pink"


class TestRegistry:
    def test_models_are_found_by_name_path_and_run_folder(
        self, path: Path, tmp_path: Path, network: torch.nn.Module
    ) -> None:
        models.save_model(tmp_path / "run" / "best.safetensors", network.state_dict(), _card(name="run"))
        assert models.resolve("tiny") == path
        assert models.resolve(path) == path
        assert models.resolve(tmp_path / "run") == tmp_path / "run" / "best.safetensors"
        with pytest.raises(ModelError, match="folder without a best"):
            models.resolve(path.parent)

    def test_a_model_is_found_by_the_name_on_its_card_and_by_its_file_name(
        self, folder: Path, network: torch.nn.Module
    ) -> None:
        models.save_model(folder / "file-name.safetensors", network.state_dict(), _card(name="card-name"))
        assert models.resolve("card-name") == models.resolve("file-name")

    def test_a_broken_file_does_not_spoil_the_list(self, path: Path) -> None:
        (path.parent / "broken.safetensors").write_bytes(b"nothing")
        assert "broken" not in [file.name for file in models.list_models()]
        broken = next(file for file in models.list_models(broken=True) if file.name == "broken")
        assert "not a model file" in broken.problem
        with pytest.raises(ModelError, match="not a model file"):
            models.load_model("broken")

    def test_kinds_are_told_apart(self, path: Path, network: torch.nn.Module) -> None:
        models.save_model(
            path.with_name("g.safetensors"),
            network.state_dict(),
            _card(name="g", kind="synthesizer"),
        )
        assert "g" not in [file.name for file in models.list_models("segmenter")]
        painters = {file.name: file.card.kind for file in models.list_models("synthesizer") if file.card}
        assert "g" in painters
        assert set(painters.values()) == {"synthesizer"}

    def test_export_copies_into_a_folder_or_to_a_file(self, path: Path, tmp_path: Path) -> None:
        assert models.export_model("tiny", tmp_path / "out") == tmp_path / "out" / "tiny.safetensors"
        named = models.export_model("tiny", tmp_path / "new.safetensors")
        assert named.read_bytes() == path.read_bytes()

    def test_the_users_folder_has_a_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NUCLEIGAN_MODELS", raising=False)
        assert models.user_folder().parts[-2:] == ("nucleigan", "models")


@pytest.mark.parametrize(
    "change",
    [
        {"mpp": 0.001},
        {"mpp": 1e9},
        {"mpp": float("inf")},
        {"mpp": float("nan")},
        {"decode": {"threshold": float("nan")}},
        {"decode": {"threshold": 2}},
        {"decode": {"threshold": "high"}},
        {"decode": {"min_area_um2": -1}},
        {"decode": {"views": 1000}},
        {"decode": {"views": 3.5}},
        {"decode": {"smoothing": float("inf")}},
        {"styles": {"liver": [[float("inf")]]}},
    ],
)
def test_a_card_of_impossible_numbers_is_refused_with_the_field(path: Path, change: dict[str, Any]) -> None:
    card = models.read_card(path).model_dump(mode="json") | change
    text = json.dumps(card).replace("Infinity", "1e999")
    stored = safetensors.torch.load_file(path)
    safetensors.torch.save_file(stored, path, {"nucleigan": text})
    with pytest.raises(ModelError, match=r"The card of the model file .* is not valid") as caught:
        models.load_model(path)
    assert next(iter(change)) in str(caught.value) or "NaN" in str(caught.value)
    (listed,) = (file for file in models.list_models(broken=True) if file.path == path)
    assert "is not valid" in listed.problem


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(path: Path, value: float) -> None:
    stored = safetensors.torch.load_file(path)
    name = max(stored, key=lambda name: stored[name].numel())
    stored[name].view(-1)[7] = value
    card = models.read_card(path)
    content = safetensors.torch.save(stored)
    filled = card.model_copy(update={"sha256": registry.digest(content)}).model_dump_json()
    path.write_bytes(safetensors.torch.save(stored, {"nucleigan": filled}))
    with pytest.raises(ModelError, match="values that are no numbers"):
        models.load_model(path)


@pytest.mark.parametrize(
    "architecture",
    [
        {"name": "compact-unet", "widths": [4096] * 5},
        {"name": "compact-unet", "widths": [10**9] * 5},
        {"name": "compact-unet", "widths": [8] * 10_000},
        {"name": "resnet", "blocks": 10**9},
        {"name": "compact-unet", "widths": [8, 8, 8, 8, 16]},
    ],
)
def test_a_network_that_is_not_that_of_the_tensors_takes_no_memory(
    path: Path, architecture: dict[str, Any], recwarn: pytest.WarningsRecorder
) -> None:
    card = models.read_card(path).model_copy(update={"architecture": architecture})
    stored = safetensors.torch.load_file(path)
    path.write_bytes(safetensors.torch.save(stored, {"nucleigan": card.model_dump_json()}))
    with pytest.raises(ModelError, match=r"do not fit|cannot build"):
        models.load_model(path)


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "..", "C:\\evil", "nul", "a" * 300, "\x1b[2J\n", " "])
def test_a_model_is_exported_under_no_other_path_than_asked_for(path: Path, tmp_path: Path, name: str) -> None:
    card = models.read_card(path).model_copy(update={"name": name})
    path.write_bytes(safetensors.torch.save(safetensors.torch.load_file(path), {"nucleigan": card.model_dump_json()}))
    out = tmp_path / "deep" / "out"
    made = models.export_model(path, out)
    assert made.resolve().parent == out.resolve()
    assert made.name.isprintable()
    assert models.export_model(path, out) == made  # a model may take a model's place
    made.write_bytes(b"not a model")
    with pytest.raises(OutputError, match="not made by this program"):
        models.export_model(path, out)


def test_one_bad_file_does_not_take_the_others_away(path: Path) -> None:
    folder = path.parent
    (folder / "empty.safetensors").touch()
    (folder / "folder.safetensors").mkdir()
    deep = b'{"a":' * 200_000
    (folder / "deep.safetensors").write_bytes(len(deep).to_bytes(8, "little") + deep)
    (folder / "text.safetensors").write_bytes((4).to_bytes(8, "little") + b"{\xff\xfe}")
    (folder / "dangling.safetensors").symlink_to(folder / "nowhere")
    bad = {"empty", "folder", "deep", "text", "dangling"}
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.safetensors")
        bad.add("pipe")
    found = {file.name: file for file in models.list_models(broken=True)}
    assert found["tiny"].card is not None
    assert bad <= found.keys()
    for name in bad:
        assert name in found[name].problem
        with pytest.raises(ModelError):
            models.load_model(found[name].path)
    assert [file.name for file in models.list_models() if not file.bundled] == ["tiny"]
