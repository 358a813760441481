#!/usr/bin/env bash
# Stage 11: retrieval by CCA, PLS and semantic matching on the set's own features; --help says more.
# Takes a minute.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/retrieval_baselines.py" "$@"
