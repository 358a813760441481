#!/usr/bin/env bash
# Stage 6: computes the features that the experiments need; --help says more.
# About 10 ms per image and net on two cores (benchmarks/results/busy.json).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/extract_features.py" "$@"
