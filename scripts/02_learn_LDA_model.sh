#!/usr/bin/env bash
# Stage 2: learns the topics of the articles; --help says more.
# About a minute for 1,500 articles and --passes 20, on two cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/LDA/learn_LDA_model.py" "$@"
