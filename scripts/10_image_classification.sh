#!/usr/bin/env bash
# Stage 10: STL-10, SUN397 or any folder per class, by SVMs or fine-tuning; --help says more.
# With SVMs, the features take most of the time (see stage 6).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/image_classification.py" "$@"
