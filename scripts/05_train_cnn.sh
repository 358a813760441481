#!/usr/bin/env bash
# Stage 5: trains the net; --help says more.
# CaffeNet takes 1.5 s per iteration on two cores; solver_short has 1,500 iterations, solver 160,000
# (for a GPU).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/CNN/train_cnn.py" "$@"
