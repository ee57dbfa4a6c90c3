"""Free sets with texts as rows: job titles (O*NET) and dictionary glosses (Open English WordNet), built from their public files, then
sketchxc beside other libraries on them (`bench_xc.py` does the runs), from word tf-idf and from the texts themselves.

The data folder (`--data`, or the environment variable SKETCHXC_DATA) holds `onet/Alternate_Titles.txt`, `Task_Statements.txt`,
`Occupation_Data.txt`, `Sample_of_Reported_Titles.txt` as O*NET publishes them, with underscores for blanks, and
`wordnet_oewn/synsets.tsv` (synset, lexfile, members, hypernyms, definition, examples); a file may end in .xz.
onet: alternate titles, titles and task sentences -> occupation codes; reported titles are the test rows. A text that belongs to several
codes is one row. Every reported title is an alternate title too, so this asks for memory; unseen is the same without those training rows.
wordnet: gloss -> names of the hypernyms that have 5 rows or more; synsets with the first 8 hexadecimal digits of the
sha1 of their id divisible by 10 are the test rows.
"""
import argparse
import csv
import hashlib
import lzma
import os
import subprocess
import sys
import tempfile

LEAST = 5  # rows of a hypernym


def table(folder, name):
    """Lines of a file with a header as lists of cells, without the header."""
    path = os.path.join(folder, name)
    opener, path = (open, path) if os.path.exists(path) else (lzma.open, path + ".xz")
    with opener(path, "rt", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


def grouped(pairs):
    """[(text, labels)] from (text, label), texts in the order of their first appearance."""
    found = {}
    for text, label in pairs:
        found.setdefault(" ".join(text.split()), set()).add(label)
    return [(text, sorted(labels)) for text, labels in found.items() if text]


def onet(data):
    folder = os.path.join(data, "onet")
    train = [(row[1], row[0]) for name in ("Alternate_Titles.txt", "Occupation_Data.txt") for row in table(folder, name)]
    train += [(row[2], row[0]) for row in table(folder, "Task_Statements.txt")]
    return grouped(train), grouped([(row[1], row[0]) for row in table(folder, "Sample_of_Reported_Titles.txt")])


def unseen(data):
    train, test = onet(data)
    held = {text.lower() for text, _ in test}
    return [row for row in train if row[0].lower() not in held], test


def wordnet(data):
    rows = table(os.path.join(data, "wordnet_oewn"), "synsets.tsv")
    names = {row[0]: f"{row[2].split('|')[0]} {row[0]}" for row in rows}
    counts = {}
    for row in rows:
        for hypernym in row[3].split("|"):
            counts[hypernym] = counts.get(hypernym, 0) + 1
    train, test = [], []
    for synset, _, _, hypernyms, gloss, *_ in rows:
        labels = sorted(names[h] for h in hypernyms.split("|") if h and counts[h] >= LEAST)
        if labels and gloss.strip():
            held = int(hashlib.sha1(synset.encode()).hexdigest()[:8], 16) % 10 == 0
            (test if held else train).append((" ".join(gloss.split()), labels))
    return train, test


SETS = {"onet": onet, "unseen": unseen, "wordnet": wordnet}


def write_texts(folder, train, test):
    """Labelled texts with labels as numbers, train.tsv and test.tsv, and labels.txt, their names."""
    names = sorted({name for rows in (train, test) for _, labels in rows for name in labels})
    number = {name: i for i, name in enumerate(names)}
    paths = [os.path.join(folder, name) for name in ("train.tsv", "test.tsv", "labels.txt")]
    for path, rows in zip(paths, (train, test)):
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{','.join(str(number[name]) for name in labels)}\t{text}\n" for text, labels in rows)
    with open(paths[2], "w", encoding="utf-8") as file:
        file.writelines(name + "\n" for name in names)
    return paths[:2]


def write_rows(folder, texts, program, python):
    """Word tf-idf of the texts as train.txt and test.txt: by `program TRAIN TEST FOLDER`, or by sketchxc's own features."""
    paths = [os.path.join(folder, name) for name in ("train.txt", "test.txt")]
    if program:
        subprocess.run([python, program, *texts, folder], check=True)
        return paths
    from sketchxc import files, pipeline, sparse
    train, test = (pipeline.read(path, "text")[:2] for path in texts)
    encoder, x = pipeline.text_encoder(train[0])
    width = max(train[1].width, test[1].width)
    for path, rows, labels in zip(paths, (x, pipeline.encode(encoder, test[0])), (train[1], test[1])):
        files.write_xc(path, rows, sparse.Rows(*labels[:3], width))
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("SKETCHXC_DATA"), help="folder of the public files")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--out", help="folder for the files that are built; default: a temporary one")
    parser.add_argument("--only-build", action="store_true")
    parser.add_argument("--variants", nargs="*", default=["sketchxc", "sketchxc fast", "sketchxc small", "sketchxc mach"])
    parser.add_argument("--text-to-xc", help="program that makes tf-idf files: TRAIN.tsv TEST.tsv FOLDER")
    parser.add_argument("--peer-runner", help="program that trains and scores a peer, as bench_xc.py describes it")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--tail", action="store_true", help="one more row: sketchxc ranked by expected propensity-scored gain")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--rounds", default="1")
    parser.add_argument("--smoke", action="store_true", help="a few rows: only shows that the script runs")
    args = parser.parse_args()
    if not args.data and not args.smoke:
        parser.error("--data or SKETCHXC_DATA is needed")
    bench = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bench_xc.py")
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        for name in ["smoke"] if args.smoke else args.sets:
            folder = os.path.join(args.out or temporary, name)
            os.makedirs(folder, exist_ok=True)
            few = [(f"red wine number {i % 7}", [f"class {i % 5}"]) for i in range(100)]
            train, test = (few, few) if args.smoke else SETS[name](args.data)
            texts = write_texts(folder, train, test)
            rows = write_rows(folder, texts, args.text_to_xc, args.peer_python)
            print(f"\n{name}: {len(train)} training and {len(test)} test rows", flush=True)
            variants = args.variants[:1] if args.smoke else args.variants
            common = ["--threads", args.threads, "--rounds", args.rounds, "--variants", *variants, *["--tail"] * args.tail]
            peers = ["--peer-script", args.peer_runner, "--peer-python", args.peer_python] if args.peer_runner else []
            for what, paths, more in [] if args.only_build else [("word tf-idf", rows, peers), ("texts", texts, [])]:
                print(f"{name}, {what}:", flush=True)
                failed |= subprocess.run([sys.executable, bench, *paths, *common, *more]).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
