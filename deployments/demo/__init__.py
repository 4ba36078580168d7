"""The main job on this machine alone: a shop's database, two S3 regions and a Prefect server, all private.

``host`` holds the servers in a process of its own, so that they can outlive the command that asked for them;
``story`` is what the demo does with them.
"""
