#!/usr/bin/env bash
# Stage 2: learns the topics of the articles; --help says more.
# 3 minutes for 1,500 articles and --passes 20.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/LDA/learn_LDA_model.py" "$@"
