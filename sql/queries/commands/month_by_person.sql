-- Spend of a month per person and vendor, the person with the highest spend first.
SELECT person_rank, person_email, name, vendor, MIN(COALESCE(team, 'No team')) AS team, SUM(spend_usd) AS spend_usd
FROM ai_usage.kpi_spend_by_person
WHERE month = @month AND person_rank <= @top
GROUP BY person_rank, person_email, name, vendor
ORDER BY person_rank, name, person_email
