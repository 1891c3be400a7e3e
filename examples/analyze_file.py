"""Analyse a recording and use its events while they come.

    python examples/analyze_file.py talk.mp4

Without a name it takes the sample that comes with the package.
"""

import sys

import emothinker

try:
    for event in emothinker.analyze(sys.argv[1] if len(sys.argv) > 1 else "sample"):
        match event:
            case emothinker.LabelEvent():
                percent = 100 * event.probabilities.get(event.label, 0)
                print(f"{event.t:7.2f} s  {event.source:5}  {event.label}  {percent:.0f} %")
            case emothinker.ReasonDoneEvent():
                print(event.sections["fine"])
except emothinker.Error as error:
    sys.exit(str(error))
