"""Finance's dashboards in Metabase, as code: `deploy/metabase` says what there is, these rooms bring it there.

`spec` reads what is wanted, `queries` knows how Metabase fills a card's SQL, `bodies` what its API takes, and `build`
makes these of those; `server` asks, `credentials` says as whom; `objects` finds, reads and writes, in the `forms` that
are compared, `plan` says what differs, `apply` makes it so. `preview` draws without a Metabase, `smoke` tries one, both
by the `shape` of what a card answers. Belongs here: everything that is known of Metabase. Does not: numbers, which are
the views' (`sql/kpi`).
"""
