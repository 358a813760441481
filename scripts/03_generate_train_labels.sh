#!/usr/bin/env bash
# Stage 3: gives every image the topic vector of its article; --help says more.
# About 10 s for 1,500 articles.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/LDA/generate_train_labels.py" "$@"
