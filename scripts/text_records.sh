#!/usr/bin/env bash
# What:   measures the text half alone: text-to-text retrieval by each embedding, the labels' distribution, the number of topics
# Reads:  WIKIPEDIA, the retrieval set with its training list; where they are given DATA (ImageCLEF_Wikipedia/, Wikipedia/)
#         and LABELS, a file of topic labels to compare with
# Writes: WORK/experiments/results/text/*, all made anew, the tables of LDA/README.md; models below work/text_records/
# Takes:  about half an hour on two cores
# Expect: mean AP of each embedding and seed, the labels' numbers, perplexities, then "tables: .../LDA/README.md"
#         [--wikipedia DIR] [--data DIR [--note TEXT: what its articles are]] [--labels FILE] [--work DIR]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

wikipedia=$ROOT/data/Wikipedia data='' note='' labels='' work=$ROOT
while [ $# -gt 0 ]; do
  case $1 in
    --wikipedia | --data | --note | --labels | --work) [ $# -gt 1 ] || die "$1 needs a value"; declare "${1#--}=$2"; shift ;;
    *) die "$0 knows no $1: it takes --wikipedia --data --note --labels --work" ;;
  esac
  shift
done
[ -z "$labels" ] || [ -f "$labels" ] || die "$labels does not exist: --labels takes a file of topic labels"
[ -z "$data" ] || [ -d "$data/ImageCLEF_Wikipedia" ] || die "$data/ImageCLEF_Wikipedia does not exist: data/README.md says what --data takes"
wikipedia=$(absolute "$wikipedia") name=$(basename "$data") made=$ROOT/work/text_records corpora=(wikipedia)
pairs=LDA/train_dict_ImageCLEF_Wikipedia.json label_file=LDA/training_labels40.json
export TQDM_DISABLE=1 # two embeddings are learnt at one time, and their bars would run into each other

rm -rf "$made" # the records are copied to their place at the end: each then holds the commit, not that the one before has changed
mkdir -p "$made/wikipedia/LDA" "$work/experiments/results/text"
retrieve=("$PYTHON" "$ROOT/experiments/text_to_text_retrieval.py" --work "$made")
"${retrieve[@]}" --set "$wikipedia" --name wikipedia --note "learnt from the set's training texts"
[ -z "$data" ] || "${retrieve[@]}" --set "$data/Wikipedia" --articles "$data/ImageCLEF_Wikipedia/text" --name "$name" \
  --note "learnt from ${note:-the articles of $name}"

described=()
[ -z "$labels" ] || described+=("authors' ImageCLEF labels=$labels")
train_dict() { # set, list: its texts as articles of one image each
  awk -F '\t' '{ sub(/\r$/, "") } !/[^ \t]/ { next }
    NR == FNR { gsub(/^ +| +$/, "", $1); category[++categories] = $1; next }
    { printf "%s\"images/%s/%s.jpg\": \"texts/%s.xml\"", pairs++ ? ",\n" : "{", category[$3 + 0], $2, $1 } END { print "}" }' \
    "$1/categories.list" "$1/$2"
}

train_dict "$wikipedia" trainset_txt_img_cat.list >"$made/wikipedia/$pairs"
if [ -n "$data" ]; then
  bash "$ROOT/scripts/01_generate_train_dict.sh" --data "$data" --work "$made/$name"
  corpora+=("$name")
fi
for corpus in "${corpora[@]}"; do
  set=$wikipedia
  [ "$corpus" = wikipedia ] || set=$data/Wikipedia
  of_set=(--data "$(dirname "$set")" --collection "$(basename "$set")") of_corpus=(--data "$data")
  [ "$corpus" != wikipedia ] || of_corpus=("${of_set[@]}")
  for passes in 1 20; do
    bash "$ROOT/scripts/02_learn_LDA_model.sh" --work "$made/$corpus" --passes "$passes" --workers 2 --force "${of_corpus[@]}"
    bash "$ROOT/scripts/03_generate_train_labels.sh" --work "$made/$corpus" --force "${of_corpus[@]}"
    cp -r "$made/$corpus" "$made/$corpus-$passes"
    described+=("$corpus, passes $passes=$made/$corpus-$passes/$label_file")
  done
  train_dict "$set" testset_txt_img_cat.list >"$made/$corpus/$pairs"
  bash "$ROOT/scripts/03_generate_train_labels.sh" --work "$made/$corpus" --force "${of_set[@]}"
  rm "$made/$corpus/LDA/bow.mm" # of other texts than those labels
  described+=("$corpus, passes 20, texts not learnt from=$made/$corpus/$label_file")
done
"$PYTHON" "$ROOT/experiments/label_distribution.py" "${described[@]}" --work "$made"
for corpus in "${corpora[@]}"; do
  "$PYTHON" "$ROOT/LDA/choose_topics.py" --work "$made/$corpus-20" --passes 10 --workers 2
  for made_file in "$made/$corpus-20/LDA/choose_topics".{json,png}; do
    cp "$made_file" "$made/experiments/results/text/choose_topics_$corpus.${made_file##*.}"
  done
done
cp "$made"/experiments/results/text/* "$work/experiments/results/text/"
exec "$PYTHON" "$ROOT/experiments/make_text_tables.py" --results "$work/experiments/results/text"
