CREATE TABLE IF NOT EXISTS ai_usage.dim_date (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  month DATE NOT NULL OPTIONS (description = "First day of the month."),
  day_of_month INT64 NOT NULL OPTIONS (description = "Day of the month, 1 to 31."),
  days_in_month INT64 NOT NULL OPTIONS (description = "Number of days in the month."),
  is_business_day BOOL NOT NULL OPTIONS (description = "Whether the day is Monday to Friday."),
  as_of_date DATE NOT NULL OPTIONS (description = "UTC day of the last run."),
  is_over BOOL NOT NULL OPTIONS (description = "Whether the day was over on as_of_date.")
)
OPTIONS (description = "Calendar of UTC days from the first day of the warehouse to the end of the current month.")
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
  usage_date < @today AS is_over
FROM day
