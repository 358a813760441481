#!/usr/bin/env bash
# Stage 8: retrieves texts by image and images by text, in topic space; --help says more.
# Takes seconds.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/multi_modal_retrieval.py" "$@"
