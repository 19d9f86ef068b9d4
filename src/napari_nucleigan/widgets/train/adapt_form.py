"""Form of an adaptation to unlabelled images: fields in, a `TrainRequest` out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleigan.adaptation.settings import KIND, METHODS, AdaptationSettings
from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.models import DEFAULT_SEGMENTER
from napari_nucleigan.widgets.base.fields import Form, check, fault, set_text, small_label
from napari_nucleigan.widgets.base.settings_fields import make_editor
from napari_nucleigan.widgets.base.training_jobs import Contents, TrainRequest, images
from napari_nucleigan.widgets.train.run_form import RunForm
from napari_nucleigan.widgets.train.sections import FolderReader

if TYPE_CHECKING:
    from napari_nucleigan.widgets.base.settings_fields import Editor

_FACTS = field_facts(AdaptationSettings)
_NUMBERS = ("generator_crops", "crops", "pairs", "candidates", "min_consistency", "paired", "seed", "generator_from")
_DECIMALS = {"candidates": (1, 0.5), "min_consistency": (2, 0.05)}


class AdaptForm(RunForm):
    """All fields of an adaptation."""

    def __init__(self) -> None:
        super().__init__(("segmenter",), _FACTS["model"].description, DEFAULT_SEGMENTER)
        top, more = Form(), Form()
        folder = FolderReader(
            "Unlabelled H&E images of your tissue: a folder, or a data set, of which the split “train” is taken.",
            describe=lambda found: f"{images(found.counts.get('train', 0))} to adapt to.",
        )
        folder.set_labelled(False)
        self.images = top.add("Images", folder)
        self.picker.add_model_row(top.rows, "Start from")
        self.picker.chosen.connect(self.changed.emit)
        self.truth = top.add(_FACTS["truth"].title, FolderReader(_FACTS["truth"].description, "optional", _judges))
        self.plan = small_label()
        self.real = more.add(_FACTS["real"].title, FolderReader(_FACTS["real"].description, "optional"))
        baseline = check(
            "Beside self-training",
            "Also fine-tune on what the model finds itself, with the same budget: the way to beat.",
            checked=True,
        )
        self.baseline = more.add("Compare", baseline)
        self.editors: dict[str, Editor] = {}
        defaults = AdaptationSettings()
        for name in _NUMBERS:
            editor = self.editors[name] = make_editor(_FACTS[name], *_DECIMALS.get(name, ()))
            more.add(_FACTS[name].title, editor.widget)
            editor.show(getattr(defaults, name))
            editor.changed.connect(lambda *_: self.changed.emit())
        self._changes: dict[str, Any] = {}
        self._lay_out((top, self.plan), (more,), "Show everything else: old data, how many crops and pairs, device.")
        self._suggest_name("adapted")
        self.changed.connect(self._tell_plan)
        self._tell_plan()

    def request(self, runs: Path) -> TrainRequest:
        """Return the adaptation as given, to be kept in a folder of runs.

        Raises
        ------
        RecipeError
            If a value is not valid.
        """
        assert self.images.path is not None
        return TrainRequest(
            kind=KIND,
            recipe=self.settings(),
            name=self._name,
            runs=runs,
            device=self.device.currentData(),
            data=self.images.path,
            queue=self.queue.isChecked(),
        )

    def settings(self) -> AdaptationSettings:
        """Return what is asked for.

        Raises
        ------
        RecipeError
            If a value is not valid.
        """
        values = {name: editor.get() for name, editor in self.editors.items()}
        folders = {"truth": self.truth.path, "real": self.real.path}
        return AdaptationSettings.checked(
            **values,
            **{name: str(path.absolute()) for name, path in folders.items() if path is not None},
            **self._changes,
            model=self.picker.path or DEFAULT_SEGMENTER,
            methods=tuple(METHODS) if self.baseline.isChecked() else ("synthetic",),
        )

    def set_recipes(self, changes: dict[str, Any], generator_changes: dict[str, Any]) -> None:
        """Change fields of the recipes of fine-tuning and generator that the form does not show."""
        self._changes = {"changes": changes, "generator_changes": generator_changes}
        self.changed.emit()

    def problem(self) -> str:
        """Why nothing can be adapted like this; empty where it can."""
        if self.images.path is None:
            return "Choose the folder of your images."
        if text := self.images.problem():
            return text
        for field, name in ((self.truth, "Labelled tiles"), (self.real, "Old data")):
            if field.path is not None and (text := field.problem()):
                return f"{name}: {text}"
        return self.picker.waiting or fault(self.settings)

    def outlook(self) -> str:
        """Tell where it is found out how long it will take."""
        return "The generator takes most of the time. Estimate tells how long it will take here."

    def cancel(self) -> None:
        """Stop looking into folders, and for models."""
        super().cancel()
        for reader in (self.images, self.truth, self.real):
            reader.cancel()

    def _tell_plan(self) -> None:
        if fault(self.settings):
            return
        steps = self.settings().plan(self.picker.box.currentText() or DEFAULT_SEGMENTER)
        set_text(self.plan, "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1)))


def _judges(found: Contents) -> str:
    """Say which images of a folder judge, as `open_images` takes them."""
    return f"{images(found.counts.get('test') or sum(found.counts.values()))} to judge by."
