"""Beyond one machine: encoders and Thinkers as Ray Serve deployments, called from the node that holds the session.

commands     __main__.py (deploy, status, remove, and sizing), connect.py, probe.py, config.py, environment.py
replicas     app.py (the Serve application), encoder.py, batcher.py, thinker.py, backbone.py
sessions     engine.py (`RayEngine`), remote.py (towers, ring and Thinker from afar), retry.py
both         messages.py
sizing/      how large a cluster has to be
"""

from realtime.cluster.environment import prepare

prepare()
