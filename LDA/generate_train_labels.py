"""Give every image the topic vector of its article.

Reads:   WORK/LDA/train_dict_ImageCLEF_Wikipedia.json, dictionary.dict, ldamodel<topics>.lda; the articles
Writes:  WORK/LDA/training_labels<topics>.json: {image path: [probability of each topic]}, sorted as the train dict
Paper:   section 3.2 (the LDA vector is the image's target)
Usage:   python LDA/generate_train_labels.py [--data DIR] [--work DIR] [--topics 40] [--seed 0] [--workers 2] [--force]
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from texttopicnet import artefacts, topics


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=artefacts.DATA, help="folder that holds ImageCLEF_Wikipedia/")
    parser.add_argument("--work", type=Path, default=artefacts.ROOT, help="folder for artefacts")
    parser.add_argument("--topics", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="draws the start of the inference")
    parser.add_argument("--workers", type=int, default=2, help="processes; the labels do not depend on it")
    parser.add_argument("--force", action="store_true", help="make the output anew")
    args = parser.parse_args()

    output = args.work / artefacts.training_labels(args.topics)
    artefacts.refuse_existing(output, args.force)
    pairs = artefacts.read_json(args.work / artefacts.TRAIN_DICT, "python LDA/generate_train_dict.py")
    model = topics.TopicModel.load(args.work, args.topics)
    articles = sorted(set(pairs.values()))
    print(f"labelling {len(pairs)} images of {len(articles)} articles with {args.topics} topics, seed {args.seed}")

    collection = args.data / "ImageCLEF_Wikipedia"
    paths = [collection / article for article in articles]
    vectors = model.vectors_of_files(tqdm(paths, desc="articles", unit="article"), args.seed, args.workers)
    rows = dict(zip(articles, vectors.tolist(), strict=True))  # one label an article (D4)
    labels = {image: rows[article] for image, article in pairs.items()}
    topics.check_labels(labels, args.topics, "python LDA/learn_LDA_model.py")
    artefacts.write_json(output, labels)
    print(f"{len(labels)} labels: {output}")
    return 0


if __name__ == "__main__":
    artefacts.run(main)
