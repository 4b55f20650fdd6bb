"""Loads the usage and cost of AI tools, reconciles it with the vendors' totals, and reports it.

`definitions` wires everything together. `sources` extract records, `landing` loads them into raw tables, the models
under `sql/` transform them, `checks` test them, and `finance` and `metabase` serve the result. `warehouse` holds the
engines; `simulator` serves the vendors' APIs for the demo and the tests.
"""
