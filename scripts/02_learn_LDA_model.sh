#!/usr/bin/env bash
# What:   learns the topics of the articles
# Reads:  WORK/LDA/train_dict_ImageCLEF_Wikipedia.json, the articles
# Writes: WORK/LDA/{dictionary.dict,bow.mm,ldamodel40.lda}
# Takes:  3 minutes for 1,500 articles and 20 passes (--passes 20)
# Expect: the top words of each topic, then the perplexity
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$PYTHON" "$ROOT/LDA/learn_LDA_model.py" "$@"
