"""Engines: where the model runs. A session knows only `Engine` and `EngineClient` of `realtime.roles`.

    session ── HostClient ── Transport ──► Host ── Models
    (client.py: the session's side)        (host.py: the model's side; models.py: with which adapter)

    LocalEngine    (local.py)      the host in a thread of this process: recordings, tests, `--worker thread`
    ProcessEngine  (process.py)    the host in a process of its own (child.py), restarted when it dies: `realtime serve`
    RayEngine      (realtime/cluster)    no host: perception here, towers and Thinkers on a cluster, `--cluster ADDRESS`

Another place for the model is another `Transport`: something that brings the calls in `host.py` to a `Host` and says by
its `generation` when that is a new one. What crosses are the frozen records of `realtime.records` and the arrays in
them, all picklable. Frames go there once; of evidence the host keeps the newest, so that a window names it by its time;
the session keeps all of a window, too, and so any new host can go on with it.
"""
