"""Finance's dashboards in Metabase, as code: `deploy/metabase` says what there is, these rooms bring it there.

`spec` reads what is wanted, `queries` knows how Metabase fills a card's SQL, `bodies` what its API takes, `server` how
to ask it, `plan` what differs, `apply` makes it so; `preview` draws it without a Metabase, `smoke` tries it on one.
Belongs here: everything that is known of Metabase. Does not: numbers, which are the views' (`sql/kpi`).
"""
