"""A drawn set in VOC's layout with the features of its images, for the benchmarks of the SVMs."""

from pathlib import Path

import numpy as np

from texttopicnet import artefacts, features, voc

DIFFICULT = 0.02  # share of a class's images
RANK = 200  # features are a mixture of so many factors, and rectified, as activations are


def draw(
    folder: Path, layer: str, dims: int, sizes: dict[str, int], n_classes: int, seed: int = 0
) -> None:
    """Write a VOC set and its features file below `folder`.

    The features are rectified mixtures of factors whose strength falls, so that they are as
    correlated as activations of a net; the classes are noisy functions of the factors.

    Parameters
    ----------
    folder : Path
    layer : str
        The blob that the features are said to be.
    dims : int
        Numbers per image.
    sizes : dict
        Images in 'train', 'val' and 'test'.
    n_classes : int
        Each has two to twenty percent of the images.
    seed : int
    """
    rng = np.random.default_rng(seed)
    count = sum(sizes.values())
    factors = rng.normal(size=(count, RANK)).astype(np.float32)
    mixing = rng.normal(size=(RANK, dims)).astype(np.float32)
    mixing /= np.sqrt(np.arange(1, RANK + 1, dtype=np.float32))[:, None]
    array = factors @ mixing
    array += rng.normal(size=array.shape, scale=0.5).astype(np.float32) - 0.5
    np.maximum(array, 0, out=array)
    ids = [f"{i:06d}" for i in range(1, count + 1)]
    features.save(
        folder / artefacts.voc_features(layer, "trained"),
        features.Features(ids, array, layer, "0" * 64),
    )
    main = folder / voc.MAIN
    main.mkdir(parents=True)
    bounds = np.cumsum([0, *sizes.values()])
    rows = {name: range(bounds[i], bounds[i + 1]) for i, name in enumerate(sizes)}
    rows["trainval"] = range(bounds[0], bounds[2])
    for split, members in rows.items():
        (main / f"{split}.txt").write_text("".join(f"{ids[i]}\n" for i in members))
    for c in range(n_classes):
        score = factors @ rng.normal(size=RANK) / np.sqrt(RANK) + rng.normal(size=count) * 0.5
        labels = np.where(score > np.quantile(score, 1 - rng.uniform(0.02, 0.2)), 1, -1)
        labels[rng.random(count) < DIFFICULT * (labels > 0)] = 0
        for split, members in rows.items():
            text = "".join(f"{ids[i]} {labels[i]:2d}\n" for i in members)
            (main / f"class{c:02d}_{split}.txt").write_text(text)
