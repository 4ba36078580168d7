"""One database over several connections: sessions that fail together, lanes of members, steps that
share tables; and bytes that go to a socket from where they lie.

Nothing here knows a kind of database; the engines bring the connections and what is done on them.
"""
