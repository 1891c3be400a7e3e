"""Past one machine: encoders and Thinkers as Ray Serve deployments, reached from the node that holds the session."""

from realtime.cluster.environment import prepare

prepare()
