"""Learn the LDA topic model from the articles, one document per image.

Reads:   WORK/LDA/train_dict_ImageCLEF_Wikipedia.json, DATA/ImageCLEF_Wikipedia/text/
Writes:  WORK/LDA/dictionary.dict, bow.mm, ldamodel<topics>.lda (gensim's own formats);
         tokens.sqlite, for later runs
Paper:   section 3.1 (40 topics)
Usage:   python LDA/learn_LDA_model.py [--data DIR] [--work DIR] [--topics 40] [--passes 1]
         [--workers 3] [--seed 0]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
from gensim.corpora import Dictionary, MmCorpus
from tqdm import tqdm

from texttopicnet import (
    artefacts,
    atomic_files,
    bags,
    command_line,
    dictionary_filter,
    inference,
    origin,
    parallel,
    pickles,
    topics,
    vocabulary,
)
from texttopicnet.article_files import store_articles
from texttopicnet.counts import counted
from texttopicnet.errors import UserError
from texttopicnet.pairs import Pairs
from texttopicnet.token_rows import unpacked
from texttopicnet.token_store import TokenStore

TOGETHER = 250  # articles that a process gets at once
PRUNED_EVERY = 10_000  # articles; this and the next are gensim's values
PRUNE_AT = 2_000_000  # words in memory
MEASURED = 2000  # documents whose perplexity is printed


def word_counts(articles):
    """Words of some articles, given as (packed tokens, number of documents): the number of
    documents that have each, and its number of occurrences.

    The words come in the order in which gensim's Dictionary would number them: article by article,
    new words in alphabetical order.
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
    """The filtered dictionary of all articles, given as (packed tokens, number of documents).

    It is equal to the result of gensim's own counting.

    Raises
    ------
    UserError
        No word is left; the sentence names the options that help.
    """
    dictionary = Dictionary()
    groups = parallel.in_groups(articles, TOGETHER)
    for number, group in enumerate(parallel.ordered_map(word_counts, groups, workers), 1):
        documents, occurrences, *numbers = group
        for word, count in documents.items():
            word_id = dictionary.token2id.setdefault(word, len(dictionary.token2id))
            dictionary.dfs[word_id] = dictionary.dfs.get(word_id, 0) + count
            dictionary.cfs[word_id] = dictionary.cfs.get(word_id, 0) + occurrences[word]
        for name, count in zip(("num_docs", "num_pos", "num_nnz"), numbers, strict=True):
            setattr(dictionary, name, getattr(dictionary, name) + count)
        if number * TOGETHER % PRUNED_EVERY == 0 and len(dictionary) > PRUNE_AT:  # D11
            dictionary.filter_extremes(no_below=0, no_above=1.0, keep_n=PRUNE_AT)
    dictionary_filter.apply(dictionary, no_below, no_above)
    return dictionary


def bags_of(token2id, articles):
    """Bags of words of some articles, given as packed tokens: int32 arrays of shape
    (n_distinct, 2), with ascending ids and their counts.
    """
    bags = []
    for tokens in articles:
        words = unpacked(tokens)
        ids = np.fromiter(map(token2id.get, words, itertools.repeat(-1)), np.int32, len(words))
        bags.append(np.stack(inference.bag_of_words(ids), axis=1))
    return bags


class Bags:
    """The articles' bags of words in a file, by rank; only their places are in memory, 8 bytes per
    article.
    """

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


def make_bags(args, pairs, store, outputs, made_from):
    """Write dictionary.dict, with the record `made_from`, and bow.mm."""
    num_articles = pairs.num_articles

    def articles(what):
        for article, images in tqdm(
            pairs.articles(), desc=what, unit="article", total=num_articles
        ):
            yield store.packed(article), 1 if args.unique_articles else images

    dictionary = make_dictionary(articles("dictionary"), args.workers, args.no_below, args.no_above)
    vocabulary.mark(dictionary, dictionary)
    dictionary.made_from = made_from
    groups = parallel.in_groups((tokens for tokens, _ in articles("bags of words")), TOGETHER)
    found = itertools.chain.from_iterable(
        parallel.ordered_map(bags_of, groups, args.workers, dictionary.token2id)
    )
    folder = outputs[0].parent
    with (
        atomic_files.temporary_file(folder) as file,
        atomic_files.written_whole(*outputs) as (dictionary_path, bow_path),
    ):
        by_rank = Bags(file, found, num_articles)
        ranks = range(num_articles) if args.unique_articles else (rank for _, rank in pairs.ranks())
        ranks = tqdm(ranks, desc="bow.mm", unit="document", total=num_documents(args, pairs))
        with pickles.portable():
            MmCorpus.serialize(str(bow_path), map(by_rank.__getitem__, ranks), id2word=dictionary)
            dictionary.save(str(dictionary_path))
    bags.record(args.work, store, dictionary)


def checksums(paths):
    return [artefacts.sha256(path) for path in (*paths, f"{paths[1]}.index")]


def are_made_from(store, paths, made_from):
    """Whether an earlier run made dictionary.dict and bow.mm from the same documents with the same
    options.
    """
    files = [*paths, Path(f"{paths[1]}.index")]
    return all(path.is_file() for path in files) and store.setting("bow.mm") == [
        made_from,
        checksums(paths),
    ]


def refuse_foreign(path, store):
    """Refuse to overwrite a dictionary that was not made here, such as one that belongs to a
    downloaded model.
    """
    # a search for the record's name in the bytes, because nothing should be unpickled only to be
    # overwritten
    if path.is_file() and not store.was_made_here() and b"made_from" not in path.read_bytes():
        raise UserError(
            f"{path} was not made in this work folder, and would be overwritten: give another"
            " --work folder, or move it away"
        )


def num_documents(args, pairs):
    return pairs.num_articles if args.unique_articles else len(pairs)


def main():
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--collection", "--work", "--topics", "--passes")
    command_line.add_options(parser, "--workers", default=3)
    command_line.add_options(
        parser, "--scheduler", help="work on this Dask cluster instead of --workers processes"
    )
    command_line.add_options(parser, "--update-every", default=topics.UPDATE_EVERY)
    command_line.add_options(parser, "--seed")
    parser.add_argument(
        "--unique-articles",
        action="store_true",
        help="one document per article instead of one per image",
    )
    parser.add_argument(
        "--gensim",
        action="store_true",
        help="infer by gensim's own E-step, not by compiled code: several times as slow, the same"
        " topics up to rounding",
    )
    command_line.add_options(parser, "--no-below", default=dictionary_filter.NO_BELOW)
    command_line.add_options(parser, "--no-above", default=dictionary_filter.NO_ABOVE)
    command_line.add_options(parser, "--force", help="rebuild the outputs, from the articles on")
    command_line.add_options(parser, "--trust-pickle")
    args = parser.parse_args()

    *bag_paths, model_path = outputs = [
        args.work / name
        for name in (artefacts.DICTIONARY, artefacts.BOW, artefacts.lda_model(args.topics))
    ]
    vocabulary.refuse_existing_model(model_path, args.force)
    train_dict = args.work / artefacts.TRAIN_DICT
    pairs = Pairs.load(train_dict)
    print(
        f"learning {counted(args.topics, 'topic')} from"
        f" {counted(num_documents(args, pairs), 'document')}"
        f" ({counted(pairs.num_articles, 'article')}): passes {args.passes},"
        f" workers {args.scheduler or args.workers}, seed {args.seed}, words in at least"
        f" {counted(args.no_below, 'document')} and at most {args.no_above:g} of them"
    )

    def names():
        return (article for article, _ in pairs.articles())

    with (
        TokenStore(args.work) as store,
        parallel.executor(args.workers, args.scheduler) as executor,
    ):
        if not args.force:
            refuse_foreign(bag_paths[0], store)
        with tqdm(desc="articles", unit="article", total=pairs.num_articles) as bar:
            store_articles(
                store, names(), args.data / args.collection, args.workers, executor, bar.update
            )
        for line in store.blemishes(names()).lines():
            print(line)

        # the dictionary and bags of an earlier run with another number of topics, or of a stopped
        # one, are reused
        made_from = origin.record(store, pairs, args.unique_articles, args.no_below, args.no_above)
        if args.force or not are_made_from(store, bag_paths, made_from):
            store.set("bow.mm", None)
            make_bags(args, pairs, store, bag_paths, made_from)
            store.set(origin.OTHER_WORDS, None)
            store.set("bow.mm", [made_from, checksums(bag_paths)])
        else:
            print(f"{bag_paths[0]} and bow.mm exist already, made from the same articles")

        dictionary, corpus = bags.load(args.work, store, args.trust_pickle)
        print(
            f"dictionary: {counted(len(dictionary), 'word')}; {counted(corpus.num_nnz, 'count')} in"
            f" {counted(corpus.num_docs, 'document')}"
        )
        checkpoint = model_path.with_name(model_path.name + ".checkpoint")
        model = topics.TopicModel.learn(
            dictionary,
            corpus,
            args.topics,
            args.passes,
            args.workers,
            args.seed,
            args.update_every,
            executor,
            checkpoint,
            compiled=not args.gensim,
        )
        model.save(args.work)
        checkpoint.unlink(missing_ok=True)
        sample = list(itertools.islice(filter(None, corpus), MEASURED))
        perplexity = model.perplexity(sample)
    for topic in range(args.topics):
        print(f"topic {topic}: " + " ".join(word for word, _ in model.top_words(topic)))
    measured = f"of the first {counted(len(sample), 'non-empty training document')}"
    print(f"perplexity {perplexity:.1f} ({measured}): {outputs[-1]}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
