#!/usr/bin/env bash
# Stage 7: linear SVMs on VOC2007 for all layers of both nets, or for one LAYER; --help says more.
# About a minute for 20 classes of 500 images.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/voc_2007_classification.py" "$@"
