#!/usr/bin/env bash
# What:   computes the features the experiments need: pool5, fc6, fc7 of the VOC2007 images with the trained and the
#         untrained net, prob of the retrieval set's images
# Reads:  WORK/CNN/<net>/{trained,untrained}.caffemodel, VOC/VOCdevkit/VOC2007/JPEGImages, DATA/Wikipedia/images
# Writes: WORK/experiments/features/*.npz
# Takes:  about 15 ms an image and net on two cores
# Expect: "BLOB: N images x D" for each file; sets that are not there are left out with a line
#         [--data DIR] [--voc DIR] [--work DIR] [--net CaffeNet] [--gpu] [--force]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

data=$ROOT/data voc='' work=$ROOT net=CaffeNet force='' options=()
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=$2; shift ;;
    --voc) voc=$2; shift ;;
    --work) work=$2; shift ;;
    --net) net=$2; shift ;;
    --gpu) options+=(--gpu) ;;
    --force) force=1; options+=(--force) ;;
    *) die "$0 knows no $1: it takes --data --voc --work --net --gpu --force" ;;
  esac
  shift
done
voc=$(voc_folder "${voc:-$data}") features=$work/experiments/features

extract() { # images, net, blobs, pattern of the output
  local blob missing=()
  if [ ! -d "$1" ]; then
    echo "left out: $1 does not exist (data/README.md says what lies there)"
    return
  fi
  for blob in ${3//,/ }; do
    if [ -n "$force" ] || [ ! -f "$features/${4//\{blob\}/$blob}" ]; then missing+=("$blob"); fi
  done
  if [ ${#missing[@]} -eq 0 ]; then
    echo "$features/$4 is there for $3: --force makes it anew"
    return
  fi
  "$PYTHON" "$ROOT/experiments/extract_features.py" --net "$work/CNN/$net/deploy.prototxt" \
    --weights "$work/CNN/$net/$2.caffemodel" --images "$1" \
    --blobs "$(IFS=,; echo "${missing[*]}")" --out "$features/$4" ${options[@]+"${options[@]}"}
}

extract "$voc/VOCdevkit/VOC2007/JPEGImages" trained pool5,fc6,fc7 "voc2007_{blob}_trained.npz"
extract "$voc/VOCdevkit/VOC2007/JPEGImages" untrained pool5,fc6,fc7 "voc2007_{blob}_untrained.npz"
extract "$data/Wikipedia/images" trained prob "wikipedia_{blob}.npz"
