"""Settings of an adaptation: one model for the form, the command line and the folder's ``recipe.json``."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, field_validator

from napari_nucleigan.base.settings import Settings
from napari_nucleigan.models.registry import DEFAULT_SEGMENTER, DEFAULT_SYNTHESIZER

Method = Literal["self-training", "synthetic"]

METHODS: dict[Method, str] = {
    "self-training": "what the model finds and is sure of, taken for true",
    "synthetic": "synthetic pairs of the images' look",
}
"""Ways to adapt, and what each learns from; self-training is the one to beat."""

KIND: Final = "adaptation"
"""What a folder of runs holds that was adapted."""

REPORT = "adaptation.md", ("adaptation.json", "adaptation.md")
"""The text of a report, and all its files."""


class AdaptationSettings(Settings):
    """How a segmenter is adapted to unlabelled images.

    The fields are explained by their descriptions, which the command line and the form show.
    """

    kind: Literal["adaptation"] = Field(KIND, title="Kind", description="What is done.")
    name: str = Field("adapt", title="Name", description="Name of these settings.")
    model: str = Field(
        DEFAULT_SEGMENTER, title="Start from", min_length=1, description="Segmenter to start from: its name or file."
    )
    methods: tuple[Method, ...] = Field(
        tuple(METHODS), title="Ways", min_length=1, description="Ways to adapt, each measured beside the others."
    )
    truth: str = Field(
        "",
        title="Labelled tiles",
        description="Labelled data set of the same look, to judge by; nothing learns from it. Where its split.csv "
        "calls images 'test', these are taken. Without one, only agreement is measured.",
    )
    real: str = Field(
        "",
        title="Old data",
        description="Labelled data set to go on learning from, such as what the model was trained on: its images of "
        "the split 'train'. By default what the model is sure of in the unlabelled images.",
    )
    crops: int = Field(
        3200, title="Crops", ge=1, le=10**8, description="Crops that each fine-tuning sees, the same for all ways."
    )
    generator_crops: int = Field(
        6000,
        title="Generator's crops",
        ge=1,
        le=10**8,
        description="Crops that the generator sees; it takes most of the time.",
    )
    generator_from: str = Field(
        DEFAULT_SYNTHESIZER,
        title="Generator from",
        description="Synthesizer whose weights the generator begins with; empty for random ones, which take many times "
        "the crops.",
    )
    paired: bool = Field(
        False,
        title="Paired",
        description="Let the generator learn from what the model is sure of, as pairs. By default the images teach it "
        "unpaired, in turn with the pairs of the old data where there are any.",
    )
    pairs: int = Field(96, title="Pairs", ge=1, le=100_000, description="Synthetic pairs that are learnt from.")
    candidates: float = Field(
        2.0,
        title="Candidates",
        ge=1,
        le=20,
        description="How many times as many consistent pairs are painted; those are learnt from that lie farthest "
        "apart in colour, density and size of nuclei. 1: all.",
    )
    min_consistency: float = Field(
        0.4,
        title="Least consistency",
        ge=0,
        le=1,
        description="Pairs in which the model finds the nuclei of the mask with less AJI than this are drawn again.",
    )
    seed: int = Field(0, title="Seed", ge=0, le=2**31 - 1, description="Seed of weights, crops and masks.")
    changes: dict[str, Any] = Field(
        {}, title="Fine-tuning", description="Other fields of the recipe of the fine-tunings."
    )
    generator_changes: dict[str, Any] = Field(
        {}, title="Generator", description="Other fields of the generator's recipe."
    )

    @field_validator("methods")
    @classmethod
    def _in_order(cls, methods: tuple[Method, ...]) -> tuple[Method, ...]:
        # The quick one first: whoever looks in early sees something.
        return tuple(method for method in METHODS if method in methods)

    def plan(self, model: str) -> list[str]:
        """Say what will happen, in its order, in a sentence each; `model` is what the first one is called."""
        steps = [f"{model} finds the nuclei in your images."]
        if "self-training" in self.methods:
            steps.append(f"Self-training: it learns from those that it is sure of, {self.crops} crops.")
        if "synthetic" in self.methods:
            steps += [
                f"A generator learns the look of your images, {self.generator_crops} crops.",
                f"It paints {self.painted} masks like those found; the {self.pairs} most varied pairs are kept.",
                f"The model learns from these pairs, {self.crops} crops.",
            ]
        judged = "the labelled tiles" if self.truth else "how far it agrees with itself, which is not accuracy"
        return [*steps, f"Old and new are compared by {judged}."]

    @property
    def painted(self) -> int:
        """Pairs that are painted, of which `pairs` are chosen."""
        return max(self.pairs, round(self.pairs * self.candidates))
