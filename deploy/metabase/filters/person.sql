SELECT DISTINCT person_email
FROM ai_usage.kpi_spend_by_person
WHERE person_email IS NOT NULL
ORDER BY person_email
