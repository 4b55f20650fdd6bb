CREATE TABLE IF NOT EXISTS ai_usage.dim_date (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  month DATE NOT NULL OPTIONS (description = "First day of its month."),
  day_of_month INT64 NOT NULL OPTIONS (description = "1 to 31."),
  days_in_month INT64 NOT NULL OPTIONS (description = "Days of its month."),
  is_business_day BOOL NOT NULL OPTIONS (description = "Monday to Friday."),
  as_of_date DATE NOT NULL OPTIONS (description = "UTC day on which the warehouse was last brought up to date."),
  is_over BOOL NOT NULL OPTIONS (description = "Whether the day was over then."),
  anthropic_settles_on DATE NOT NULL OPTIONS (description = "From this day on Anthropic's figures for the day are final: the later of 30 days after it and the 8th of the next month."),
  cursor_settles_on DATE NOT NULL OPTIONS (description = "From this day on Cursor's figures for the day are final: 35 days after it.")
)
OPTIONS (description = "Calendar: every UTC day there is up to the end of this month, and until when the vendors may still restate it.")
AS
WITH day AS (
  SELECT usage_date
  FROM UNNEST(GENERATE_DATE_ARRAY(@first_day, LAST_DAY(@today, MONTH))) AS usage_date
)
SELECT
  usage_date,
  DATE_TRUNC(usage_date, MONTH) AS month,
  EXTRACT(DAY FROM usage_date) AS day_of_month,
  EXTRACT(DAY FROM LAST_DAY(usage_date, MONTH)) AS days_in_month,
  -- 2024-01-01 was a Monday.
  MOD(DATE_DIFF(usage_date, DATE '2024-01-01', DAY), 7) IN (0, 1, 2, 3, 4, -3, -4, -5, -6, -7) AS is_business_day,
  @today AS as_of_date,
  usage_date < @today AS is_over,
  GREATEST(
    DATE_ADD(usage_date, INTERVAL 30 DAY),
    DATE_ADD(DATE_ADD(DATE_TRUNC(usage_date, MONTH), INTERVAL 1 MONTH), INTERVAL 7 DAY)
  ) AS anthropic_settles_on,
  DATE_ADD(usage_date, INTERVAL 35 DAY) AS cursor_settles_on
FROM day
