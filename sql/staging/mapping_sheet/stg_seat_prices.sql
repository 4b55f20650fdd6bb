CREATE OR REPLACE VIEW ai_usage.stg_seat_prices (
  row_no OPTIONS (description = "Row number in the sheet."),
  vendor OPTIONS (description = "Vendor."),
  plan OPTIONS (description = "Plan or tier of the price."),
  monthly_price_usd OPTIONS (description = "US dollars per seat and month."),
  effective_from OPTIONS (description = "First UTC day on which the price applies."),
  effective_to OPTIONS (description = "First UTC day on which the price no longer applies.")
)
OPTIONS (description = "Seat prices: accepted rows of the last good version of the tab.")
AS
WITH versions AS (
  SELECT
    *,
    MAX(read_at) OVER (PARTITION BY tab) AS last_read_at
  FROM ai_usage.raw_mapping_sheet
  WHERE tab = 'seat_prices'
)
SELECT
  row_no,
  JSON_VALUE(payload, '$.vendor') AS vendor,
  JSON_VALUE(payload, '$.plan') AS plan,
  CAST(JSON_VALUE(payload, '$.monthly_price_usd') AS NUMERIC) AS monthly_price_usd,
  COALESCE(SAFE_CAST(JSON_VALUE(payload, '$.effective_from') AS DATE), DATE '0001-01-01') AS effective_from,
  COALESCE(SAFE_CAST(JSON_VALUE(payload, '$.effective_to') AS DATE), DATE '9999-12-31') AS effective_to
FROM versions
WHERE read_at = last_read_at AND row_no > 0 AND reject_reason IS NULL
