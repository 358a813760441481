#!/usr/bin/env bash
# What:   linear SVMs on VOC2007, for pool5, fc6, fc7 of the trained and the untrained net
# Reads:  WORK/experiments/features/voc2007_*.npz, VOC/VOCdevkit/VOC2007/ImageSets/Main
# Writes: WORK/experiments/results/voc2007_svm_*.json
# Takes:  about a minute for 20 classes of 500 images; hours for the whole of VOC2007
# Expect: the AP of each class, the mean of each layer; ahead of it chance, the share of positives
#         [--voc DIR] [--work DIR] [--seed N] [--note TEXT] [--force], or LAYER and what the Python script takes
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then # one layer, said by the user
  exec "$PYTHON" "$ROOT/experiments/voc_2007_classification.py" "$@"
fi
work=$ROOT note='' force='' options=()
while [ $# -gt 0 ]; do
  case $1 in
    --work) work=$2; options+=(--work "$2"); shift ;;
    --note) note=$2; shift ;;
    --force) force=1; options+=(--force) ;;
    --voc | --seed | --difficult | --workers) options+=("$1" "$2"); shift ;;
    *) die "$0 knows no $1: it takes --voc --work --seed --note --force" ;;
  esac
  shift
done
for name in trained untrained; do
  for layer in pool5 fc6 fc7; do
    result=$work/experiments/results/voc2007_svm_${layer}_$name.json
    if [ -f "$result" ] && [ -z "$force" ]; then
      echo "$result is there: --force makes it anew"
      continue
    fi
    said=$note
    [ "$name" = trained ] || said="the same net as its fillers made it, not trained"
    "$PYTHON" "$ROOT/experiments/voc_2007_classification.py" "$layer" --name "$name" --note "$said" ${options[@]+"${options[@]}"}
  done
done
