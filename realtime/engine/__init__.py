"""Engines: where the model runs. All of them speak `realtime.roles.Engine`.

session ── HostedMind ── transport ──► Host ── Model
                         │ LocalEngine: a thread of this process (recordings, tests)
                         │ ProcessEngine: a process of its own, restarted when it dies (`realtime serve`)
"""
