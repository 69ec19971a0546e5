"""A trained model with its preprocessing and class names: predict, and compute features."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zoo.data.decode import Unreadable, loaded_rgb, open_rgb
from zoo.data.views import ABOUT, mean_of_views
from zoo.errors import DataError, ZooError
from zoo.inference.image_paths import ImagePaths
from zoo.inference.lanes import in_lanes
from zoo.inference.networks import Network
from zoo.inference.prediction import Prediction, predict_from
from zoo.inference.preprocessing import Preprocessing
from zoo.inference.source import Source
from zoo.inference.views import views_of

# An image in any accepted form: a file, a Pillow image, or pixels uint8 [H, W, 3] or [H, W].
AnyImage = str | os.PathLike[str] | Image.Image | np.ndarray
# Largest ratio of an image's sides: its short side is resized to the model's, and its long side in proportion.
LONGEST = 400
# Number of images from which it pays to make the model faster first.
MANY = 64


class Classifier:
    """A trained model in use. `zoo.load(MODEL)` returns one.

    Attributes:
        source: where the model came from.
        classes: names in the order of the model's outputs.
        aliases: other names of classes in lower case, such as ImageNet's synsets and synonyms, and their outputs.
        network: the network that computes logits and features.
        preprocessing: timm's preprocessing of an image; None if an exported file does all of it.
        tta: the views of each image that predictions average: none (one view), hflip or five_crop.
    """

    def __init__(
        self,
        source: Source,
        classes: tuple[str, ...],
        network: Network,
        preprocessing: Preprocessing | None,
        aliases: Mapping[str, int] | None = None,
        tta: str = "none",
    ) -> None:
        self.source, self.classes, self.network, self.preprocessing = source, classes, network, preprocessing
        self.aliases, self.tta = dict(aliases or {}), tta
        self._check_views(tta)

    def __repr__(self) -> str:
        views = f", {ABOUT[self.tta]}" if self.tta != "none" else ""
        return f"Classifier({self.source.name!r}, {len(self.classes)} classes{views})"

    @property
    def model(self) -> nn.Module:
        """Return timm's own model, in evaluation mode.

        Raises:
            ZooError: the model is an exported file, which has no timm model.
        """
        return self.network.module()

    @overload
    def predict(self, images: AnyImage, topk: int = 1) -> Prediction: ...
    @overload
    def predict(self, images: Iterable[AnyImage], topk: int = 1) -> list[Prediction]: ...

    def predict(self, images: Any, topk: int = 1) -> Prediction | list[Prediction]:
        """Predict the classes of an image, or of several.

        Args:
            images: a file, a Pillow image or an array uint8 [H, W, 3]; or a folder or an iterable of images, to get a list.
            topk: number of best classes to return.

        Returns:
            A `Prediction`, or a list of them. In a list, an image that cannot be read has its `error` set.

        Raises:
            DataError: a single image cannot be read.
            ZooError: the model has no classes, `topk` is less than 1, or a folder has no images.
        """
        if not _is_single(images):
            return list(self.stream(_expanded(images), topk))
        prediction = next(self.stream([images], topk))
        if prediction.error:
            raise DataError(prediction.filename or "image", prediction.error, "give another image")
        return prediction

    def stream(self, images: Iterable[AnyImage], topk: int = 1) -> Iterator[Prediction]:
        """Yield the prediction of each image in order; memory use does not grow with the number of images.

        Raises:
            ZooError: the model has no classes, or `topk` is less than 1.
        """
        if topk < 1:
            raise ZooError("topk", f"expected at least 1, found {topk}", "e.g. topk=5")
        if not self.classes:
            raise ZooError(self.source.name, "this model has no classes to predict", "use zoo embed for its features")
        for filename, logits, error in with_names(images, self.stream_logits):
            if logits is None:
                yield Prediction(filename, (), error=error)
            else:
                yield predict_from(logits, self.classes, topk, filename)

    def embed(self, images: Any) -> Tensor:
        """Compute features before the last layer: float32 [D] for one image, [N, D] for several.

        Raises:
            DataError: an image cannot be read.
        """
        single = _is_single(images)
        rows: list[Tensor] = []
        for filename, features, error in with_names([images] if single else _expanded(images), self.stream_features):
            if features is None:
                raise DataError(filename or f"image {len(rows)}", error, "give another image")
            rows.append(features)
        return rows[0] if single else torch.stack(rows) if rows else torch.zeros(0, 0)

    def logits(self, images: Iterable[AnyImage]) -> Tensor:
        """Compute logits float32 [N, C] of several images.

        Raises:
            DataError: an image cannot be read.
        """
        rows: list[Tensor] = []
        for filename, row, error in with_names(images, self.stream_logits):
            if row is None:
                raise DataError(filename or f"image {len(rows)}", error, "give another image")
            rows.append(row)
        return torch.stack(rows) if rows else torch.zeros(0, len(self.classes))

    def stream_logits(self, images: Iterable[AnyImage], views: str | None = None) -> Iterator[tuple[int, Tensor | None, str]]:
        """Yield (index, logits float32 [C], '') for each image, in order; (index, None, reason) if it cannot be read.

        Args:
            images: read as they are needed.
            views: none, hflip or five_crop; None for the classifier's `tta`. The probabilities of several views are averaged
                and returned as logits.
        """
        yield from self._stream(images, self.tta if views is None else views, self.network.logits)

    def stream_features(self, images: Iterable[AnyImage]) -> Iterator[tuple[int, Tensor | None, str]]:
        """Yield (index, features float32 [D], '') for each image, in order; (index, None, reason) if it cannot be read."""
        yield from self._stream(images, "none", self.network.features)

    def _stream(self, images: Iterable[AnyImage], views: str, compute: Any) -> Iterator[tuple[int, Tensor | None, str]]:
        """Decode images and run the network on them, chunk by chunk in several lanes."""
        self._check_views(views)

        def work(chunk: list[AnyImage]) -> list[tuple[Tensor | None, str]]:
            decoded = [_decoded(image, self.preprocessing, views) for image in chunk]
            return _computed(decoded, compute)

        iterator = iter(images)
        first = list(islice(iterator, MANY))
        if len(first) == MANY:
            self.network.expect_many()
        found = in_lanes(chain(first, iterator), work, self.network.batch_size, self.network.lanes)
        for index, (outputs, error) in enumerate(found):
            yield index, outputs, error

    def _check_views(self, views: str) -> None:
        """Check that the model can use these views of an image.

        Raises:
            ZooError: several views are wanted, and an exported file makes its own single view.
        """
        if views != "none" and self.preprocessing is None:
            raise ZooError("--tta", "the exported file prepares images itself, in one view", "export with --preprocess outside")


def with_names(
    images: Iterable[AnyImage], stream: Callable[[Iterable[AnyImage]], Iterator[tuple[int, Tensor | None, str]]]
) -> Iterator[tuple[str, Tensor | None, str]]:
    """Yield the items of a `Classifier`'s stream, with the path of each image ('' if it has none) instead of its index."""
    names: dict[int, str] = {}

    def noted() -> Iterator[AnyImage]:
        for index, image in enumerate(images):
            names[index] = os.fspath(image) if isinstance(image, str | os.PathLike) else ""
            yield image

    for index, outputs, error in stream(noted()):
        yield names.pop(index), outputs, error


def _decoded(image: AnyImage, preprocessing: Preprocessing | None, views: str) -> tuple[list[np.ndarray], str]:
    """Return the views of an image and '', or no views and the reason why it cannot be read."""
    try:
        found = as_rgb(image)
        long, short = max(found.size), min(found.size)
        if long > LONGEST * short:
            return [], f"{found.width} x {found.height} pixels: more than {LONGEST} times as long as wide"
        return views_of(found, preprocessing, views), ""
    except Unreadable as error:
        return [], str(error)
    except MemoryError:
        return [], "there is not enough memory for it"


def _computed(decoded: list[tuple[list[np.ndarray], str]], compute: Any) -> list[tuple[Tensor | None, str]]:
    """Return the outputs of a chunk of decoded images; the views of an image are averaged."""
    together = [view for views, _ in decoded for view in views]
    outputs: Iterator[Tensor] = iter(compute(together)) if together else iter(())
    results: list[tuple[Tensor | None, str]] = []
    for views, error in decoded:
        own = [next(outputs) for _ in views]
        averaged = own[0] if len(own) == 1 else mean_of_views(torch.stack(own)) if own else None
        results.append((averaged, error))
    return results


def as_rgb(image: AnyImage) -> Image.Image:
    """Return an image upright and in RGB.

    Raises:
        Unreadable: the image is damaged or too large, or an array of another shape or dtype.
    """
    if isinstance(image, str | os.PathLike):
        return open_rgb(os.fspath(image))
    if isinstance(image, Image.Image):
        return loaded_rgb(image)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2:] in ((3,), (4,))):
        if not image.size:
            raise Unreadable(f"an array without pixels: {list(image.shape)}")
        return loaded_rgb(Image.fromarray(image))
    shape = f" {image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else ""
    raise Unreadable(f"expected a path, a Pillow image or an array uint8 [H, W, 3], found {type(image).__name__}{shape}")


def _is_single(images: Any) -> bool:
    """Return whether one image was given, rather than a folder or several."""
    if isinstance(images, str | os.PathLike):
        return not os.path.isdir(images)
    return isinstance(images, Image.Image | np.ndarray)


def _expanded(images: Any) -> Iterable[AnyImage]:
    """Return the images of a folder; return anything else unchanged.

    Raises:
        ZooError: the folder has no images.
    """
    if not isinstance(images, str | os.PathLike):
        return images
    found = ImagePaths([os.fspath(images)])
    found.check()
    return found
