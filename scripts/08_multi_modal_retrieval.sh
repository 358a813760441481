#!/usr/bin/env bash
# What:   retrieves texts by image and images by text, in topic space
# Reads:  DATA/Wikipedia/, WORK/LDA/, WORK/experiments/features/wikipedia_prob.npz
# Writes: WORK/experiments/results/retrieval.json
# Takes:  seconds
# Expect: mean AP of both directions, and what chance gives
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/experiments/multi_modal_retrieval.py" "$@"
