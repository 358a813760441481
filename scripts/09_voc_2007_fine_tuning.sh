#!/usr/bin/env bash
# Stage 9: fine-tunes both nets on VOC2007 and scores them with 1 and 10 crops; --help says more.
# 80,000 iterations per net with solver.prototxt, for a GPU.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/voc_2007_fine_tuning.py" "$@"
