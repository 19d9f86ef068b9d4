"""Open every dock of the installed plugin in a viewer, by its manifest, and close all again."""

from __future__ import annotations

from importlib.metadata import version


def main() -> None:
    import napari
    from npe2 import PluginManager

    viewer = napari.Viewer(show=False)
    manifest = PluginManager.instance().get_manifest("napari-nucleigan")
    names = [widget.display_name for widget in manifest.contributions.widgets]
    for name in names:
        viewer.window.add_plugin_dock_widget("napari-nucleigan", name)
    viewer.open_sample("napari-nucleigan", "synthetic_he")
    print(f"napari-nucleigan {version('napari-nucleigan')}: {', '.join(names)}; {len(viewer.layers)} layers")
    viewer.close()


if __name__ == "__main__":
    main()
