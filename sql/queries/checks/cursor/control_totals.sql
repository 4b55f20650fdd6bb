-- Loaded days whose usage events differ from the count or the dollars in the day log.
WITH event AS (
  SELECT usage_date, COUNT(*) AS records, SUM(amount_usd) AS amount_usd
  FROM ai_usage.stg_cursor_usage_events WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date
), loaded AS (
  SELECT
    entry.usage_date,
    COALESCE(event.records, 0) AS records,
    entry.expected_records,
    COALESCE(event.amount_usd, 0) AS event_usd,
    COALESCE(entry.amount_usd, 0) AS logged_usd
  FROM ai_usage.ops_asset_days AS entry
  LEFT JOIN event ON event.usage_date = entry.usage_date
  WHERE entry.asset = 'raw_cursor_usage_events'
    AND entry.usage_date BETWEEN @start_day AND @end_day
    AND entry.completed_at IS NOT NULL
)
SELECT usage_date, records, expected_records, event_usd, logged_usd, ABS(event_usd - logged_usd) AS amount_usd
FROM loaded
WHERE records <> expected_records OR event_usd <> logged_usd
ORDER BY usage_date
