"""How large a cluster has to be.

service_times.py   how long each piece of work takes, from the bench's JSON
simulate.py        a simulation of a cluster with these times
plan.py            the smallest simulated cluster that stays within the limits (`simulate` on the command line)
measure.py         what a real cluster adds to a label and what it saves
check.py           the simulation compared with a real cluster
synthetic.py       sessions with noise for media, which measure.py and check.py run
"""
