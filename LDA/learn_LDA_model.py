"""Learn the LDA topic model from the articles, one document per image.

Reads:   WORK/LDA/train_dict_ImageCLEF_Wikipedia.json, DATA/ImageCLEF_Wikipedia/text/
Writes:  WORK/LDA/dictionary.dict, bow.mm, ldamodel<topics>.lda (gensim's own formats); tokens.sqlite, for later runs
Paper:   section 3.1 (40 topics)
Usage:   python LDA/learn_LDA_model.py [--data DIR] [--work DIR] [--topics 40] [--passes 1] [--workers 3] [--seed 0]
"""

import argparse
import itertools
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from gensim.corpora import Dictionary, MmCorpus
from tqdm import tqdm

from texttopicnet import artefacts, bags, inference, options, parallel, pickles, topics, vocabulary
from texttopicnet.pairs import Pairs
from texttopicnet.token_store import TokenStore, unpacked

TOGETHER = 250  # articles that a process gets at once
PRUNED_EVERY = 10_000  # articles; gensim's, as its limit of words in memory
PRUNE_AT = 2_000_000
MEASURED = 2000  # documents whose perplexity is printed


def counted(articles):
    """Words of some articles, given as (packed tokens, number of documents), and in how many documents each is, and how often.

    The words come in the order in which gensim's Dictionary would number them: article by article, new ones by the alphabet.
    """
    documents, occurrences, num_pos, num_nnz = {}, {}, 0, 0
    for tokens, copies in articles:
        counts = Counter(unpacked(tokens))
        for word in sorted(word for word in counts if word not in documents):
            documents[word] = occurrences[word] = 0
        for word, count in counts.items():
            documents[word] += copies
            occurrences[word] += copies * count
        num_pos += copies * counts.total()
        num_nnz += copies * len(counts)
    return documents, occurrences, sum(copies for _, copies in articles), num_pos, num_nnz


def make_dictionary(articles, workers, no_below, no_above):
    """The filtered dictionary of (packed tokens, number of documents) of all articles: what gensim's own counting gives."""
    dictionary = Dictionary()
    groups = parallel.in_groups(articles, TOGETHER)
    for number, group in enumerate(parallel.ordered_map(counted, groups, workers), 1):
        documents, occurrences, *numbers = group
        for word, count in documents.items():
            word_id = dictionary.token2id.setdefault(word, len(dictionary.token2id))
            dictionary.dfs[word_id] = dictionary.dfs.get(word_id, 0) + count
            dictionary.cfs[word_id] = dictionary.cfs.get(word_id, 0) + occurrences[word]
        for name, count in zip(("num_docs", "num_pos", "num_nnz"), numbers, strict=True):
            setattr(dictionary, name, getattr(dictionary, name) + count)
        if number * TOGETHER % PRUNED_EVERY == 0 and len(dictionary) > PRUNE_AT:  # D11
            dictionary.filter_extremes(no_below=0, no_above=1.0, keep_n=PRUNE_AT)
    dictionary.filter_extremes(no_below=no_below, no_above=no_above)
    return dictionary


def bags_of(token2id, articles):
    """Bags of words of some articles, given as packed tokens: int32 arrays of shape (n_distinct, 2), ids ascending and counts."""
    bags = []
    for tokens in articles:
        words = unpacked(tokens)
        ids = np.fromiter(map(token2id.get, words, itertools.repeat(-1)), np.int32, len(words))
        bags.append(np.stack(inference.bag_of_words(ids), axis=1))
    return bags


class Bags:
    """The articles' bags of words in a file, by rank; in memory are their places alone (8 bytes an article)."""

    def __init__(self, file, bags, num_articles):
        self.file = file
        self.ends = np.zeros(num_articles + 1, np.int64)
        for rank, bag in enumerate(bags):
            self.ends[rank + 1] = self.ends[rank] + bag.nbytes
            file.write(bag)

    def __getitem__(self, rank):
        self.file.seek(self.ends[rank])
        data = self.file.read(self.ends[rank + 1] - self.ends[rank])
        return np.frombuffer(data, np.int32).reshape(-1, 2).tolist()


def make_bags(args, pairs, store, outputs):
    """Write dictionary.dict and bow.mm."""
    num_articles = pairs.num_articles

    def articles(what):
        for article, images in tqdm(pairs.articles(), desc=what, unit="article", total=num_articles):
            yield store.packed(article), 1 if args.unique_articles else images

    dictionary = make_dictionary(articles("dictionary"), args.workers, args.no_below, args.no_above)
    if not dictionary.token2id:
        raise artefacts.UserError(
            f"no word of {args.data / args.collection}/text stands in at least {args.no_below} and at most {args.no_above:g} of"
            f" the {num_documents(args, pairs)} documents: give a lower --no-below for so small a corpus"
        )
    vocabulary.mark(dictionary, dictionary)
    groups = parallel.in_groups((tokens for tokens, _ in articles("bags of words")), TOGETHER)
    found = itertools.chain.from_iterable(parallel.ordered_map(bags_of, groups, args.workers, dictionary.token2id))
    with tempfile.TemporaryFile(dir=outputs[0].parent) as file, artefacts.written_whole(*outputs) as (dictionary_path, bow_path):
        by_rank = Bags(file, found, num_articles)
        ranks = range(num_articles) if args.unique_articles else (rank for _, rank in pairs.ranks())
        ranks = tqdm(ranks, desc="bow.mm", unit="document", total=num_documents(args, pairs))
        with pickles.portable():
            MmCorpus.serialize(str(bow_path), map(by_rank.__getitem__, ranks), id2word=dictionary)
            dictionary.save(str(dictionary_path))
    bags.record(args.work, store, dictionary)


def num_documents(args, pairs):
    return pairs.num_articles if args.unique_articles else len(pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=artefacts.DATA, help="folder that holds the collection")
    parser.add_argument("--collection", default="ImageCLEF_Wikipedia", help="its folder there")
    parser.add_argument("--work", type=Path, default=artefacts.ROOT, help="folder for artefacts")
    parser.add_argument("--topics", type=options.whole("--topics"), default=40)
    parser.add_argument("--passes", type=options.whole("--passes"), default=1)
    parser.add_argument(
        "--workers",
        type=options.whole("--workers", 1, 1024),
        default=3,
        help="processes; the model does not depend on their number",
    )
    parser.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="work on this Dask cluster instead of --workers processes")
    parser.add_argument(
        "--update-every",
        type=options.whole("--update-every"),
        default=topics.UPDATE_EVERY,
        help="chunks of 2000 documents an update",
    )
    parser.add_argument("--seed", type=options.seed(), default=0)
    parser.add_argument("--unique-articles", action="store_true", help="one document per article instead of one per image")
    parser.add_argument(
        "--no-below", type=options.whole("--no-below", 0), default=topics.NO_BELOW, help="documents a word must stand in"
    )
    parser.add_argument(
        "--no-above",
        type=options.share("--no-above", one=True),
        default=topics.NO_ABOVE,
        help="share of documents it may stand in",
    )
    parser.add_argument("--force", action="store_true", help="make the outputs anew")
    options.add_trust_pickle(parser)
    args = parser.parse_args()

    *bag_paths, model_path = outputs = [
        args.work / name for name in (artefacts.DICTIONARY, artefacts.BOW, artefacts.lda_model(args.topics))
    ]
    vocabulary.refuse_existing_model(model_path, args.force)
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
            if not args.force:
                vocabulary.refuse_foreign(bag_paths[0], known=store.setting("bow.mm") is not None)
            store.set("bow.mm", None)
            make_bags(args, pairs, store, bag_paths)
            store.set("bow.mm", made_from)
        else:
            print(f"{bag_paths[0]} and bow.mm are there already, made from the same articles")

        dictionary, corpus = bags.load(args.work, store, args.trust_pickle)
        print(f"dictionary: {len(dictionary)} words; {corpus.num_nnz} counts in {corpus.num_docs} documents")
        checkpoint = model_path.with_name(model_path.name + ".checkpoint")
        model = topics.TopicModel.learn(
            dictionary, corpus, args.topics, args.passes, args.workers, args.seed, args.update_every, executor, checkpoint
        )
        with artefacts.written_whole(model_path) as temporary:
            pickles.save(model.lda, temporary)
        checkpoint.unlink(missing_ok=True)
        sample = list(itertools.islice(filter(None, corpus), MEASURED))
        perplexity = model.perplexity(sample)
    for topic in range(args.topics):
        print(f"topic {topic}: " + " ".join(word for word, _ in model.top_words(topic)))
    measured = f"of the first {len(sample)} documents that are not empty, learnt from"
    print(f"perplexity {perplexity:.1f} ({measured}): {outputs[-1]}")
    return 0


if __name__ == "__main__":
    artefacts.run(main)
