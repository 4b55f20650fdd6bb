"""The dashboards with real figures, without a Metabase: one page each, to judge layout, names and numbers by.

`answers` asks the warehouse, `values` writes a value as Metabase would, `charts` draws, `page` lays it all out on the
grid of 24 columns, `browser` takes its picture. It is a likeness: how Metabase itself draws it is for `smoke` and eyes.
Belongs here: what stands in for Metabase's drawing. Does not: what is drawn, which the dashboards' files say.
"""
