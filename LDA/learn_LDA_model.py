"""Learn the LDA topic model from the articles, one document per image.

Reads:   WORK/LDA/train_dict_ImageCLEF_Wikipedia.json, DATA/ImageCLEF_Wikipedia/text/
Writes:  WORK/LDA/dictionary.dict, bow.mm, ldamodel<topics>.lda (gensim's own formats)
Paper:   section 3.1 (40 topics)
Usage:   python LDA/learn_LDA_model.py [--data DIR] [--work DIR] [--topics 40] [--passes 1] [--workers 3] [--seed 0]
"""

import argparse
import pickle
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from gensim.corpora import Dictionary, MmCorpus
from tqdm import tqdm

from texttopicnet import artefacts, text, topics


class BagFile:
    """The articles' bags of words on the disk, so that memory does not grow with the corpus."""

    def __init__(self, file):
        self.file = file
        self.places = {}

    def append(self, article, bag):
        self.places[article] = self.file.seek(0, 2)
        pickle.dump(np.array(bag, dtype=np.int32).reshape(-1, 2), self.file)

    def __getitem__(self, article):
        self.file.seek(self.places[article])
        return pickle.load(self.file)


def read_articles(collection, copies, workers, bags, blemishes):
    """Tokenize every article once; the dictionary counts it as often as it has documents."""
    dictionary = Dictionary()
    articles = sorted(copies)
    tokens_of = text.tokenize_files([collection / a for a in articles], workers, blemishes)
    for article, tokens in tqdm(zip(articles, tokens_of, strict=True), total=len(articles), desc="articles", unit="article"):
        bag = dictionary.doc2bow(tokens, allow_update=True)
        for _ in range(copies[article] - 1):
            dictionary.doc2bow(tokens, allow_update=True)
        bags.append(article, bag)
    return dictionary


def filtered(dictionary, no_below, no_above):
    """Filter the dictionary in place; returns old id -> new id (-1: gone) as an int array."""
    before = dict(dictionary.token2id)
    dictionary.filter_extremes(no_below=no_below, no_above=no_above)
    new_ids = np.full(len(before), -1, dtype=np.int64)
    for token, new in dictionary.token2id.items():
        new_ids[before[token]] = new
    return new_ids


def documents(names, bags, new_ids):
    """The bag of words of every document, in the filtered dictionary's ids."""
    for article in names:
        bag = bags[article]
        ids = new_ids[bag[:, 0]]
        kept = ids >= 0
        yield sorted(zip(ids[kept].tolist(), bag[kept, 1].tolist(), strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=artefacts.DATA, help="folder that holds ImageCLEF_Wikipedia/")
    parser.add_argument("--work", type=Path, default=artefacts.ROOT, help="folder for artefacts")
    parser.add_argument("--topics", type=int, default=40)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3, help="processes; 1 gives the same model for the same seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unique-articles", action="store_true", help="one document per article instead of one per image")
    parser.add_argument("--no-below", type=int, default=topics.NO_BELOW, help="documents a word must stand in")
    parser.add_argument("--no-above", type=float, default=topics.NO_ABOVE, help="share of documents it may stand in")
    parser.add_argument("--force", action="store_true", help="make the outputs anew")
    args = parser.parse_args()

    outputs = [args.work / name for name in (artefacts.DICTIONARY, artefacts.BOW, artefacts.lda_model(args.topics))]
    artefacts.refuse_existing(outputs[-1], args.force)
    pairs = artefacts.read_json(args.work / artefacts.TRAIN_DICT, "python LDA/generate_train_dict.py")
    collection = args.data / "ImageCLEF_Wikipedia"
    names = sorted(set(pairs.values())) if args.unique_articles else list(pairs.values())
    print(
        f"learning {args.topics} topics from {len(names)} documents ({len(set(names))} articles): passes {args.passes}, workers"
        f" {args.workers}, seed {args.seed}, words in at least {args.no_below} documents and at most {args.no_above:g} of them"
    )
    outputs[0].parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=outputs[0].parent) as file:
        bags = BagFile(file)
        blemishes = {}
        dictionary = read_articles(collection, Counter(names), args.workers, bags, blemishes)
        for blemish, paths in sorted(blemishes.items()):
            print(f"articles: {len(paths)} {blemish}; the first is {paths[0]}")
        new_ids = filtered(dictionary, args.no_below, args.no_above)
        if not dictionary.token2id:
            raise artefacts.UserError(
                f"no word of {collection}/text stands in at least {args.no_below} and at most {args.no_above:g} of the"
                f" {len(names)} documents: give a lower --no-below for so small a corpus"
            )
        with artefacts.written_whole(*outputs) as (dictionary_path, bow_path, lda_path):
            MmCorpus.serialize(str(bow_path), documents(names, bags, new_ids), id2word=dictionary)
            corpus = MmCorpus(str(bow_path))
            print(f"dictionary: {len(dictionary)} words; {corpus.num_nnz} counts in {corpus.num_docs} documents")
            model = topics.TopicModel.learn(dictionary, corpus, args.topics, args.passes, args.workers, args.seed)
            sample = [bow for _, bow in zip(range(2000), corpus, strict=False)]
            bound = model.lda.log_perplexity(sample)
            model.dictionary.save(str(dictionary_path))
            model.lda.save(str(lda_path))
    for topic in range(args.topics):
        print(f"topic {topic}: " + " ".join(word for word, _ in model.top_words(topic)))
    print(f"perplexity {np.exp2(-bound):.1f} (per-word bound {bound:.3f}, first {len(sample)} documents): {outputs[-1]}")
    return 0


if __name__ == "__main__":
    artefacts.run(main)
