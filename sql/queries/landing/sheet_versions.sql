-- The newest version of each tab of the mapping sheet, with its number of accepted rows.
WITH versions AS (
  SELECT *, MAX(read_at) OVER (PARTITION BY tab) AS newest_read_at
  FROM ai_usage.raw_mapping_sheet
)
SELECT tab, snapshot_id, read_at, COUNTIF(row_no > 0 AND reject_reason IS NULL) AS row_count
FROM versions
WHERE read_at = newest_read_at
GROUP BY tab, snapshot_id, read_at
