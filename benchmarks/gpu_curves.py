"""Train the same net for some iterations in each precision, and compare the curves of the loss.

Reads:   CNN/<net>/train_val.prototxt; images are drawn, in a temporary LMDB
Writes:  --out; prints the mean losses of every 50 iterations, and how far the curves are apart
Paper:   section 4 (its learning rate, momentum and batch)
Usage:   python benchmarks/gpu_curves.py [--iterations 300] [--seeds 3] [--device cpu] [--out FILE]

For one seed, all precisions start from the same weights and see the same crops; layers are computed
in their first way (caffe/trials.py).  In fp32, several seeds are trained, which shows how far
curves differ by chance.  A lower precision passes if its curve for seed 0 is at most that far from
the one in fp32.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import drawn_images
import torch
from gpu_training import Trainer

ROOT = Path(__file__).resolve().parent.parent
PART = 50  # iterations of a mean


def curve(folder: Path, args: argparse.Namespace, precision: str, seed: int) -> list[float]:
    """The mean loss of every PART iterations."""
    import caffe

    trainer = Trainer(folder, args.net, args.batch, precision, args.device, seed, without="ways")
    trainer.take("graph", "cached")
    losses = []
    try:
        for _ in range(args.iterations):
            trainer.solver.step(1)
            losses.append(trainer.loss())
    finally:
        trainer.close()
        caffe.set_mode_cpu()
    values = torch.stack(losses).cpu().tolist()
    parts = [values[i : i + PART] for i in range(0, len(values), PART)]
    return [sum(part) / len(part) for part in parts]


def distance(a: list[float], b: list[float]) -> float:
    """The largest difference of two curves, as a share of the second one's value there."""
    return max(abs(x - y) / abs(y) for x, y in zip(a, b, strict=True))


def compare(curves: dict[str, list[float]]) -> dict[str, float]:
    """How far each curve is from that of fp32 with seed 0."""
    first = curves["fp32, seed 0"]
    return {name: distance(found, first) for name, found in curves.items() if found is not first}


def verdicts(distances: dict[str, float]) -> dict[str, bool]:
    """{precision: whether its curve is within the spread of the seeds}."""
    spread = max(found for name, found in distances.items() if name.startswith("fp32"))
    reduced = {n.partition(",")[0]: d for n, d in distances.items() if not n.startswith("fp32")}
    return {name: found <= spread for name, found in reduced.items()}


def main(arguments: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--iterations", type=int, default=300, help="per training (default: 300)")
    p.add_argument("--seeds", type=int, default=3, help="trainings in fp32 (default: 3)")
    p.add_argument("--batch", type=int, default=64, help="images per iteration (default: 64)")
    p.add_argument("--images", type=int, default=1024, help="in the LMDB (default: 1024)")
    p.add_argument("--net", default="CaffeNet", help="folder of CNN/ (default: CaffeNet)")
    p.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    p.add_argument("--out", type=Path, metavar="FILE", help="the curves, as JSON")
    args = p.parse_args(arguments)
    if args.seeds < 2 or args.iterations < 1:
        p.error("the spread needs at least 2 seeds, and a curve at least 1 iteration")
    if args.device == "cuda" and not torch.cuda.is_available():
        print("gpu_curves.py: PyTorch finds no CUDA device here; --device cpu tries it out")
        return 1
    os.environ.setdefault("GLOG_minloglevel", "2")
    sys.path.insert(0, str(ROOT))
    runs = [("fp32", seed) for seed in range(args.seeds)]
    runs += [(name, 0) for name in (("tf32", "bf16") if args.device == "cuda" else ("bf16",))]
    curves: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        drawn_images.make_lmdbs(Path(folder), args.images)
        for precision, seed in runs:
            name = f"{precision}, seed {seed}"
            curves[name] = curve(Path(folder), args, precision, seed)
            print(f"{name}: {' '.join(f'{loss:.4f}' for loss in curves[name])}", flush=True)
    distances = compare(curves)
    good = verdicts(distances)
    if args.out:
        values = {"curves": curves, "distances": distances, "within the spread": good}
        args.out.write_text(json.dumps(values, indent=1) + "\n")
    for name, found in distances.items():
        print(f"{name}: at most {found:.2%} from fp32, seed 0")
    print(", ".join(f"{n}: {'within' if ok else 'OUTSIDE'} the spread" for n, ok in good.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
