#!/usr/bin/env bash
# Stage 12: topics, labels, a short training and SVMs for several numbers of topics; see --help.
# One training per number, each as long as its solver says.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/number_of_topics.py" "$@"
