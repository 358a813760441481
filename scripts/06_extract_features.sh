#!/usr/bin/env bash
# Stage 6: computes the features that the experiments need; --help says more.
# About 15 ms per image and net on two cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/extract_features.py" "$@"
