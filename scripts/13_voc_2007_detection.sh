#!/usr/bin/env bash
# Stage 13: trains Fast R-CNN on VOC2007 and scores its detections; --help says more.
# 40,000 iterations with its own solver, for a GPU.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/voc_2007_detection.py" "$@"
