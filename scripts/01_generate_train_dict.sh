#!/usr/bin/env bash
# Stage 1: pairs every usable image with its article; --help says more.
# About 1 ms per image.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/LDA/generate_train_dict.py" "$@"
