"""Show words in PsychoPy, and name what the person's face and voice pointed to during each.

    realtime watch 'http://localhost:8080/sessions/ID#SECRET' --lsl > events.jsonl
    python examples/psychopy_trials.py holiday exam birthday

The probabilities come through Lab Streaming Layer. Their stamps are on its clock, like those of EEG and eye trackers.
"""

import sys

try:
    import pylsl
    from psychopy import core, visual
except ModuleNotFoundError as error:
    sys.exit(f"The package {error.name} is missing: pip install psychopy pylsl")

TRIAL_S = 10.0

streams = pylsl.resolve_byprop("name", "EmoThinker probabilities", timeout=20)
if not streams:
    sys.exit("There is no stream of EmoThinker. Start: realtime watch URL --lsl")
inlet = pylsl.StreamInlet(streams[0])
labels = inlet.info().get_channel_labels()
inlet.open_stream()

window = visual.Window(fullscr=False)
for word in sys.argv[1:]:
    visual.TextStim(window, text=word).draw()
    window.flip()
    began_s = pylsl.local_clock()
    core.wait(TRIAL_S)
    # A label comes some tens of milliseconds after the end of its window.
    samples, stamps = inlet.pull_chunk(timeout=1.0)
    during = [sample for sample, stamp in zip(samples, stamps, strict=True) if stamp >= began_s]
    if during:
        means = [sum(values) / len(during) for values in zip(*during, strict=True)]
        share, label = max(zip(means, labels, strict=True))
        print(f"{word}: {label} ({share:.0%}, {len(during)} windows)", flush=True)
    else:
        print(f"{word}: nothing was analysed", flush=True)
window.close()
