"""The manifest: what napari is told of this plugin."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_nucleigan
from napari_nucleigan.contributions.menus import SHOW_GLASS

REPOSITORY = Path(__file__).resolve().parents[1]
MANIFEST = Path(napari_nucleigan.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


def test_is_valid_and_all_its_names_can_be_imported(manifest: PluginManifest) -> None:
    pytest.importorskip("qtpy.QtWidgets")
    manifest.validate_imports()
    assert manifest.name == "napari-nucleigan"
    assert manifest.schema_version == "0.3.0"


def test_is_linked_at_the_root() -> None:
    link = REPOSITORY / "napari.yaml"
    assert link.is_symlink()
    assert link.resolve() == MANIFEST.resolve()


def test_segment_is_in_the_menus(manifest: PluginManifest) -> None:
    contributions = manifest.contributions
    assert [item.command for item in contributions.menus["napari/layers/segment"]] == ["napari-nucleigan.segment"]
    assert "Segment nuclei" in [widget.display_name for widget in contributions.widgets]


def test_segmenting_a_folder_is_in_the_menus(manifest: PluginManifest) -> None:
    contributions = manifest.contributions
    assert [item.command for item in contributions.menus["napari/file/io_utilities"]] == ["napari-nucleigan.batch"]
    assert "Segment a folder" in [widget.display_name for widget in contributions.widgets]


def test_masks_are_in_the_menus(manifest: PluginManifest) -> None:
    contributions = manifest.contributions
    for menu in ("napari/layers/annotate", "napari/file/new_layer"):
        assert [item.command for item in contributions.menus[menu]] == ["napari-nucleigan.masks"]
    assert "Draw masks" in [widget.display_name for widget in contributions.widgets]


def test_synthesize_is_in_the_menus(manifest: PluginManifest) -> None:
    contributions = manifest.contributions
    assert [item.command for item in contributions.menus["napari/layers/filter"]] == ["napari-nucleigan.synthesize"]
    assert "Synthesize H&E" in [widget.display_name for widget in contributions.widgets]


def test_evaluate_is_in_the_menus(manifest: PluginManifest) -> None:
    contributions = manifest.contributions
    commands = [item.command for item in contributions.menus["napari/layers/measure"]]
    assert commands == [f"napari-nucleigan.{name}" for name in ("measure", "classify", "evaluate")]
    assert "Evaluate" in [widget.display_name for widget in contributions.widgets]


def test_train_is_a_widget_of_its_own(manifest: PluginManifest) -> None:
    # Its data may come from a folder, so it belongs to no menu of layers; Plugins and the palette have it.
    contributions = manifest.contributions
    assert "Train a model" in [widget.display_name for widget in contributions.widgets]
    assert "Train a model (NucleiGAN)" in [command.title for command in contributions.commands]


def test_preferences_have_their_fields(manifest: PluginManifest) -> None:
    fields = {
        f"{group}.{name}" for group, page in manifest.contributions.configurations.items() for name in page.properties
    }
    assert fields == {"computing.device", "computing.tile", "folders.models", "folders.runs"}


def test_a_dock_has_one_name_everywhere(manifest: PluginManifest) -> None:
    commands = {command.id: command for command in manifest.contributions.commands}
    names = [widget.display_name for widget in manifest.contributions.widgets]
    for widget in manifest.contributions.widgets:
        command = commands[widget.command]
        assert (command.title, command.short_title) == (f"{widget.display_name} (NucleiGAN)", widget.display_name)
    for page in [*(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "README.md"]:
        for entry in re.findall(r"\*\*(?:Plugins|Layers|File) >[^*]+\*\*", page.read_text("utf-8")):
            last = " ".join(entry.strip("*").split(" > ")[-1].split())
            assert last in (*names, "NucleiGAN", SHOW_GLASS, "Open Sample"), f"{page}: {entry}"


def test_the_palette_offers_only_what_it_can_run(manifest: PluginManifest) -> None:
    contributions = manifest.contributions
    called_with_a_file = {item.command for item in (*contributions.readers, *contributions.writers)}
    for command in contributions.commands:
        assert (command.enablement == "False") == (command.id in called_with_a_file), command.id


def test_every_command_is_used_and_every_use_is_a_command(manifest: PluginManifest) -> None:
    contributions = manifest.contributions
    used = {item.command for item in (*contributions.widgets, *contributions.readers)}
    used |= {item.command for item in (*contributions.writers, *contributions.sample_data)}
    used |= {item.command for menu in contributions.menus.values() for item in menu}
    assert used == {command.id for command in contributions.commands}


@pytest.mark.parametrize("widget", ["batch", "evaluate", "masks", "measure", "segment", "synthesize", "train"])
def test_the_widget_loads_without_torch(widget: str) -> None:
    pytest.importorskip("qtpy.QtWidgets")
    code = f"import napari_nucleigan.widgets.{widget}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_reader_is_offered_what_the_command_line_and_folders_take(manifest: PluginManifest) -> None:
    from napari_nucleigan.data.images.files import IMAGE_SUFFIXES
    from napari_nucleigan.data.slides import SUFFIXES

    (reader,) = manifest.contributions.readers
    others = {"*.ome.tif", "*.geojson", "*.geojson.gz", "*.json", "*.zarr", "*.ome.zarr"}
    assert {*reader.filename_patterns} - others == {f"*{suffix}" for suffix in (*IMAGE_SUFFIXES, *SUFFIXES)}
