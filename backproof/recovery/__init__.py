"""Recovery: a backup takes the live database's place, written down step by step, with a way back.

::

    beginning   choosing (which backup)  opening (what it would do)  readiness (could I recover now?)
                kit, kit_page (without us)
    the way     journal, naming (what is written down)  context  steps, tables, inspecting, application  ways  run
    back        rollback
    after       report  noting, human_steps (what people did)  setting_aside (what is discarded)  needing (what is kept)

The exchange of two databases is the engines'; ``backproof.engines`` words its contract.
"""
