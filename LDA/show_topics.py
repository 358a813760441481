"""Print the top words of every topic, with their probabilities.

Reads:   WORK/LDA/dictionary.dict, ldamodel<topics>.lda
Writes:  standard output
Paper:   figure of topics
Usage:   python LDA/show_topics.py [--work DIR] [--topics 40] [--words 10]
"""

import argparse
from pathlib import Path

from texttopicnet import artefacts, topics


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=artefacts.ROOT, help="folder for artefacts")
    parser.add_argument("--topics", type=int, default=40)
    parser.add_argument("--words", type=int, default=10)
    args = parser.parse_args()
    model = topics.TopicModel.load(args.work, args.topics)
    for topic in range(model.num_topics):
        words = ", ".join(f"{word} {probability:.3f}" for word, probability in model.top_words(topic, args.words))
        print(f"topic {topic}: {words}")
    return 0


if __name__ == "__main__":
    artefacts.run(main)
