"""Preview of the dashboards without a Metabase: one HTML page each, with real figures on Metabase's grid.

It approximates how Metabase draws a card; `ai-usage metabase smoke` tests the dashboards in Metabase itself.
"""
