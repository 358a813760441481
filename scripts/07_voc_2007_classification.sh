#!/usr/bin/env bash
# Stage 7: linear SVMs on VOC2007 for all layers of both nets, or for one LAYER; --help says more.
# 4 s (fc7) to 11 s (pool5) per layer for 5 classes and 1,900 images, on two cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/voc_2007_classification.py" "$@"
