"""Analyse a folder of recordings, and print for each how much of it showed which emotion.

    python examples/study_table.py clips study

`study` is the folder that is written. Run it again after an interruption: what is finished is not analysed again. A
broken recording is a line with its reason.
"""

import csv
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

clips, out = sys.argv[1:]
analyze = [sys.executable, "-m", "realtime", "analyze", clips, "--out", out, "--format", "csv"]
if code := subprocess.run(analyze).returncode:
    sys.exit(code)

# By recording and second: where several people are in view, a second has a row for each.
labels: dict[str, dict[str, str]] = defaultdict(dict)
with Path(out, "seconds.csv").open(encoding="utf-8", newline="") as table:
    for row in csv.DictReader(table):
        labels[row["file"]][row["t"]] = row["label"] or "nothing"
with Path(out, "files.csv").open(encoding="utf-8", newline="") as table:
    for row in csv.DictReader(table):
        counts = Counter(labels[row["file"]].values()).most_common()
        shown = ", ".join(f"{label} {count} s" for label, count in counts)
        print(f"{row['file']}: {shown if row['status'] == 'done' else row['reason']}")
