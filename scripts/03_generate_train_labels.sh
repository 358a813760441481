#!/usr/bin/env bash
# What:   gives every image the topic vector of its article
# Reads:  WORK/LDA/, the articles
# Writes: WORK/LDA/training_labels40.json
# Takes:  about 10 s for 1,500 articles
# Expect: "N labels"
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/LDA/generate_train_labels.py" "$@"
