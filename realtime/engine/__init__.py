"""Engines: where the model runs. A session knows only `Engine` and `EngineClient` of `realtime.roles`.

    session ── HostClient ── Transport ──► Host ── Scheduler ── ModelWorker (the thread that owns the model)
    (client.py)              messages.py   (host.py)            (worker.py)

    LocalEngine    (local.py)           the host in a thread of this process: recordings, tests, `--worker thread`
    ProcessEngine  (process.py)         the host in its own process (child.py), restarted if it dies: `realtime serve`
    RayEngine      (realtime/cluster)   no host: perception here, towers and Thinkers on a cluster, `--cluster ADDRESS`

To run the model elsewhere, write another `Transport`: it brings requests (`messages.py`) to a `Host` and raises its
`generation` when a new host replaces the old one. Requests carry records of `realtime.records` and arrays,
all picklable. Each frame is sent to the host once. The host keeps a session's newest evidence, and windows name it by
its time; the session keeps all evidence of a window as well, so that a new host can go on with it.

`start.py` starts an engine by the settings, `loading.py` loads a checkpoint, `pair.py` joins one that gives the labels
with one that writes the chains, `models.py` keeps models with adapters,
`warmup.py` runs everything once before the first session, and `metrics.py` exports the counters of decoding.
"""
