"""Learn the LDA topic model from the articles, one document per image.

Reads:   WORK/LDA/train_dict_ImageCLEF_Wikipedia.json, DATA/ImageCLEF_Wikipedia/text/
Writes:  WORK/LDA/dictionary.dict, bow.mm, ldamodel<topics>.lda (gensim's own formats); tokens.sqlite, for later runs
Paper:   section 3.1 (40 topics)
Usage:   python LDA/learn_LDA_model.py [--data DIR] [--work DIR] [--topics 40] [--passes 1] [--workers 3] [--seed 0]
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import numpy as np
from gensim.corpora import Dictionary, MmCorpus
from tqdm import tqdm

from texttopicnet import artefacts, parallel, topics
from texttopicnet.pairs import Pairs
from texttopicnet.token_store import Texts, TokenStore

PRUNED_EVERY = 10_000  # documents; gensim's, as its limit of 2,000,000 words in memory
PRUNE_AT = 2_000_000


def counted(texts, copies, no_below, no_above):
    """The dictionary of all articles, each counted as often as it has documents, filtered."""
    dictionary = Dictionary()
    for number, (tokens, count) in enumerate(zip(texts, copies, strict=True)):
        for _ in range(count):
            dictionary.doc2bow(tokens, allow_update=True)
        if number % PRUNED_EVERY == PRUNED_EVERY - 1 and len(dictionary) > PRUNE_AT:
            dictionary.filter_extremes(no_below=0, no_above=1.0, keep_n=PRUNE_AT)
    dictionary.filter_extremes(no_below=no_below, no_above=no_above)
    return dictionary


class Bags:
    """The articles' bags of words in a file, by rank; in memory are their places alone (8 bytes an article)."""

    def __init__(self, file, dictionary, texts, num_articles):
        self.file = file
        self.ends = np.zeros(num_articles + 1, np.int64)
        for rank, tokens in enumerate(texts):
            bag = np.array(dictionary.doc2bow(tokens), np.int32).reshape(-1, 2)
            self.ends[rank + 1] = self.ends[rank] + bag.nbytes
            file.write(bag)

    def __getitem__(self, rank):
        self.file.seek(self.ends[rank])
        data = self.file.read(self.ends[rank + 1] - self.ends[rank])
        return np.frombuffer(data, np.int32).reshape(-1, 2).tolist()


def make_bags(args, pairs, texts, outputs):
    """Write dictionary.dict and bow.mm."""
    num_articles = pairs.num_articles

    def progress(what):
        return tqdm(texts, desc=what, unit="article", total=num_articles)

    copies = (1 if args.unique_articles else images for _, images in pairs.articles())
    dictionary = counted(progress("dictionary"), copies, args.no_below, args.no_above)
    if not dictionary.token2id:
        raise artefacts.UserError(
            f"no word of {args.data / args.collection}/text stands in at least {args.no_below} and at most {args.no_above:g} of"
            f" the {num_documents(args, pairs)} documents: give a lower --no-below for so small a corpus"
        )
    dictionary.lifecycle_events = None  # gensim's diary of times and paths: without it, same input, same bytes
    ranks = range(num_articles) if args.unique_articles else (rank for _, rank in pairs.ranks())
    with tempfile.TemporaryFile(dir=outputs[0].parent) as file, artefacts.written_whole(*outputs) as (dictionary_path, bow_path):
        bags = Bags(file, dictionary, progress("bags of words"), num_articles)
        MmCorpus.serialize(str(bow_path), map(bags.__getitem__, ranks), id2word=dictionary)
        dictionary.save(str(dictionary_path))


def num_documents(args, pairs):
    return pairs.num_articles if args.unique_articles else len(pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=artefacts.DATA, help="folder that holds the collection")
    parser.add_argument("--collection", default="ImageCLEF_Wikipedia", help="its folder there")
    parser.add_argument("--work", type=Path, default=artefacts.ROOT, help="folder for artefacts")
    parser.add_argument("--topics", type=int, default=40)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3, help="processes; the model does not depend on their number")
    parser.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="work on this Dask cluster instead of --workers processes")
    parser.add_argument("--update-every", type=int, default=topics.UPDATE_EVERY, help="chunks of 2000 documents an update")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unique-articles", action="store_true", help="one document per article instead of one per image")
    parser.add_argument("--no-below", type=int, default=topics.NO_BELOW, help="documents a word must stand in")
    parser.add_argument("--no-above", type=float, default=topics.NO_ABOVE, help="share of documents it may stand in")
    parser.add_argument("--force", action="store_true", help="make the outputs anew")
    args = parser.parse_args()

    *bag_paths, model_path = outputs = [
        args.work / name for name in (artefacts.DICTIONARY, artefacts.BOW, artefacts.lda_model(args.topics))
    ]
    artefacts.refuse_existing(model_path, args.force)
    train_dict = args.work / artefacts.TRAIN_DICT
    pairs = Pairs.load(train_dict)
    print(
        f"learning {args.topics} topics from {num_documents(args, pairs)} documents ({pairs.num_articles} articles): passes"
        f" {args.passes}, workers {args.scheduler or args.workers}, seed {args.seed}, words in at least {args.no_below} documents"
        f" and at most {args.no_above:g} of them"
    )

    def names():
        return (article for article, _ in pairs.articles())

    with TokenStore(args.work) as store, parallel.executor(args.workers, args.scheduler) as executor:
        with tqdm(desc="articles", unit="article", total=pairs.num_articles) as bar:
            made = store.fill(names(), args.data / args.collection, args.workers, executor, bar.update)
        for blemish, (count, first) in sorted(store.blemishes(names()).items()):
            print(f"articles: {count} {blemish}; the first is {first}")

        # dictionary and bags of an earlier run, for another number of topics or one that was stopped, serve again
        made_from = [artefacts.sha256(train_dict), args.unique_articles, args.no_below, args.no_above]
        if made or store.setting("bow.mm") != made_from or not all(path.exists() for path in bag_paths):
            store.set("bow.mm", None)
            make_bags(args, pairs, Texts(store, names), bag_paths)
            store.set("bow.mm", made_from)
        else:
            print(f"{bag_paths[0]} and bow.mm are there already, made from the same articles")

        dictionary, corpus = Dictionary.load(str(bag_paths[0])), MmCorpus(str(bag_paths[1]))
        print(f"dictionary: {len(dictionary)} words; {corpus.num_nnz} counts in {corpus.num_docs} documents")
        checkpoint = model_path.with_name(model_path.name + ".checkpoint")
        model = topics.TopicModel.learn(
            dictionary, corpus, args.topics, args.passes, args.workers, args.seed, args.update_every, executor, checkpoint
        )
        sample = list(itertools.islice(corpus, 2000))
        bound = model.lda.log_perplexity(sample)
        with artefacts.written_whole(model_path) as temporary:
            model.lda.save(str(temporary))
        checkpoint.unlink(missing_ok=True)
    for topic in range(args.topics):
        print(f"topic {topic}: " + " ".join(word for word, _ in model.top_words(topic)))
    print(f"perplexity {np.exp2(-bound):.1f} (per-word bound {bound:.3f}, first {len(sample)} documents): {outputs[-1]}")
    return 0


if __name__ == "__main__":
    artefacts.run(main)
