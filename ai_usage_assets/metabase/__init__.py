"""Finance dashboards in Metabase, as code: `deploy/metabase` defines them, `ai-usage metabase apply` creates them.

`spec_*` read the files, `render` builds request bodies, `resources` and `apply` reconcile them with a Metabase through
`client`, `smoke` queries them there, and `preview` draws them without a Metabase.
"""
