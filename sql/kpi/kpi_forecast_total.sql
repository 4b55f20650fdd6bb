CREATE OR REPLACE VIEW ai_usage.kpi_forecast_total (
  month OPTIONS (description = "First day of the running month."),
  spent_to_date_usd OPTIONS (description = "Billed and seat dollars of the month's finished days that are held whole, both vendors; NULL when none is."),
  expected_rest_usd OPTIONS (description = "Dollars expected of every other day of the month; NULL when nothing says."),
  forecast_usd OPTIONS (description = "Dollars at the month's end: the sum of kpi_forecast."),
  low_usd OPTIONS (description = "Dollars at the month's end if the rest falls as far short as it did at worst at this time of the month in the 12 months before; NULL with fewer than 3 such months, and when credits outweigh what is expected."),
  high_usd OPTIONS (description = "The same for the rest exceeding it by the most."),
  missing_days OPTIONS (description = "Finished days of the month that are not held whole, the most of any vendor."),
  is_provisional OPTIONS (description = "Whether a vendor may still restate a day of what is spent to date."),
  as_of_date OPTIONS (description = "UTC day on which the warehouse was last brought up to date, and the forecast made.")
)
OPTIONS (description = "What the running month will cost the company at its end, in one row: billed and seats of both vendors, with a low and a high of its own, narrower than those of its parts together.")
AS
SELECT
  month,
  spent_to_date_usd,
  expected_rest_usd,
  forecast_usd,
  low_usd,
  high_usd,
  missing_days,
  is_provisional,
  as_of_date
FROM ai_usage.int_forecast_origin
WHERE is_live AND scope = 'total'
