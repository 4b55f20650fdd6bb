"""What finance takes away: the digest, the report, a closed month's journal, FOCUS files.

Belongs here: bringing what the views say into the hands of people and of other programs. Does not: what a number means
(`sql/kpi`), Metabase (`metabase`).
"""
