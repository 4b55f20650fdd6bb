-- Every cost center that people or key_mapping name.
SELECT cost_center FROM ai_usage.dim_person WHERE cost_center IS NOT NULL
UNION DISTINCT
SELECT cost_center FROM ai_usage.int_key_mapping WHERE cost_center IS NOT NULL
