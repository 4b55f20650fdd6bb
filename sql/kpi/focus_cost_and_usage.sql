CREATE OR REPLACE VIEW ai_usage.focus_cost_and_usage (
  AllocatedMethodDetails OPTIONS (description = "NULL: no vendor allocates cost by its own method."),
  AllocatedMethodId OPTIONS (description = "NULL; see AllocatedMethodDetails."),
  AllocatedResourceId OPTIONS (description = "NULL; see AllocatedMethodDetails."),
  AllocatedResourceName OPTIONS (description = "NULL; see AllocatedMethodDetails."),
  AllocatedTags OPTIONS (description = "NULL; see AllocatedMethodDetails."),
  AvailabilityZone OPTIONS (description = "NULL: the vendors do not report it."),
  BilledCost OPTIONS (description = "US dollars owed for the row: the vendor's amount, or the seat fee of the day. 0 for usage that a seat covers and for an unused seat."),
  BillingAccountId OPTIONS (description = "Id of the vendor's organization; the name of the vendor when it is not known."),
  BillingAccountName OPTIONS (description = "Name of the billing account; NULL when it is not known."),
  BillingAccountType OPTIONS (description = "Organization or Team."),
  BillingCurrency OPTIONS (description = "USD."),
  BillingPeriodEnd OPTIONS (description = "Start of the next calendar month, UTC."),
  BillingPeriodStart OPTIONS (description = "Start of the calendar month that the row belongs to, UTC. A vendor's billing cycle can begin on another day."),
  CapacityReservationId OPTIONS (description = "NULL: there are no reservations."),
  CapacityReservationStatus OPTIONS (description = "NULL: there are no reservations."),
  ChargeCategory OPTIONS (description = "Usage; Purchase for a seat fee; Adjustment for a correction of a closed month."),
  ChargeClass OPTIONS (description = "Correction for a change of an earlier, closed month that is posted in this month; otherwise NULL."),
  ChargeDescription OPTIONS (description = "Description of the charge; contains no person."),
  ChargeFrequency OPTIONS (description = "Usage-Based; Recurring for a seat; One-Time for an adjustment."),
  ChargePeriodEnd OPTIONS (description = "End of the day, UTC; for an adjustment the end of the corrected month."),
  ChargePeriodStart OPTIONS (description = "Start of the day, UTC; for an adjustment the start of the corrected month."),
  CommitmentDiscountCategory OPTIONS (description = "NULL: a seat is a recurring purchase, not a commitment discount."),
  CommitmentDiscountId OPTIONS (description = "NULL; see CommitmentDiscountCategory."),
  CommitmentDiscountName OPTIONS (description = "NULL; see CommitmentDiscountCategory."),
  CommitmentDiscountQuantity OPTIONS (description = "NULL; see CommitmentDiscountCategory."),
  CommitmentDiscountStatus OPTIONS (description = "NULL; see CommitmentDiscountCategory."),
  CommitmentDiscountType OPTIONS (description = "NULL; see CommitmentDiscountCategory."),
  CommitmentDiscountUnit OPTIONS (description = "NULL; see CommitmentDiscountCategory."),
  CommitmentProgramEligibilityDetails OPTIONS (description = "NULL; see CommitmentDiscountCategory."),
  ConsumedQuantity OPTIONS (description = "Quantity used, in ConsumedUnit; 0 for an unused seat, NULL for a purchase and an adjustment."),
  ConsumedUnit OPTIONS (description = "Tokens (all classes); Requests when there are no tokens; Charges when the vendor counts neither."),
  ContractApplied OPTIONS (description = "NULL: the vendors' APIs report no contract."),
  ContractedCost OPTIONS (description = "US dollars at the contracted prices: the amount itself; for usage that a seat covers its value at vendor rates, which the seat fee also pays for. To sum it, exclude the rows of cost basis included, or those of cost basis seat."),
  ContractedUnitPrice OPTIONS (description = "NULL: a row contains tokens of several prices."),
  EffectiveCost OPTIONS (description = "US dollars with the seat fee moved to the usage that it covers in the month, in proportion to its value, or to the unused seat. It adds up to BilledCost for every month, person, team and cost center."),
  HostProviderName OPTIONS (description = "NULL: the vendors do not report their hosts."),
  InvoiceDetailId OPTIONS (description = "NULL: the vendors' APIs report no invoice."),
  InvoiceId OPTIONS (description = "NULL; see InvoiceDetailId."),
  InvoiceIssuerName OPTIONS (description = "Label of the vendor; resellers are not known."),
  ListCost OPTIONS (description = "US dollars before discount; the amount itself when the vendor publishes no prices. Sum it like ContractedCost."),
  ListUnitPrice OPTIONS (description = "NULL; see ContractedUnitPrice."),
  PricingCategory OPTIONS (description = "Standard; Other for usage that a seat covers and for an unused seat; NULL for an adjustment."),
  PricingCurrency OPTIONS (description = "USD."),
  PricingCurrencyContractedUnitPrice OPTIONS (description = "NULL; see ContractedUnitPrice."),
  PricingCurrencyEffectiveCost OPTIONS (description = "Same as EffectiveCost, in US dollars."),
  PricingCurrencyListUnitPrice OPTIONS (description = "NULL; see ContractedUnitPrice."),
  PricingQuantity OPTIONS (description = "Quantity priced, in PricingUnit: as consumed; 1 for the day of a seat, or its share of the day when a seat is split; NULL for an adjustment."),
  PricingUnit OPTIONS (description = "Same as ConsumedUnit; Seat-Days for a seat fee."),
  ProviderName OPTIONS (description = "Label of the vendor. Not in FOCUS 1.4."),
  PublisherName OPTIONS (description = "Label of the vendor. Not in FOCUS 1.4."),
  RegionId OPTIONS (description = "NULL: cost is not broken down by region."),
  RegionName OPTIONS (description = "NULL: cost is not broken down by region."),
  ResourceId OPTIONS (description = "Id of the API key, service account, automation or cloud agent; NULL for users."),
  ResourceName OPTIONS (description = "Name of the API key; otherwise NULL."),
  ResourceType OPTIONS (description = "API Key, Service Account, Federated Identity, Automation or Cloud Agent; NULL without a resource."),
  ServiceCategory OPTIONS (description = "AI and Machine Learning."),
  ServiceName OPTIONS (description = "Name of the vendor's service."),
  ServiceProviderName OPTIONS (description = "Label of the vendor. New in FOCUS 1.3."),
  ServiceSubcategory OPTIONS (description = "Generative AI."),
  SkuId OPTIONS (description = "Vendor, product and model, because the vendors publish no SKUs. NULL for an adjustment."),
  SkuMeter OPTIONS (description = "Model Usage or Seat; NULL for an adjustment."),
  SkuPriceDetails OPTIONS (description = "NULL; see SkuPriceId."),
  SkuPriceId OPTIONS (description = "NULL: a row contains tokens of several prices."),
  SubAccountId OPTIONS (description = "Workspace; NULL for the default workspace and for vendors without workspaces."),
  SubAccountName OPTIONS (description = "Name of the workspace, or its id when the directory does not list it."),
  SubAccountType OPTIONS (description = "Workspace, or NULL."),
  Tags OPTIONS (description = "JSON object with team and cost_center; an unknown one is omitted. NULL when both are unknown. Control characters are replaced by spaces."),
  x_AsOfDate OPTIONS (description = "UTC day of the last run."),
  x_AttributionMethod OPTIONS (description = "Name of the attribution rule; NULL for an adjustment."),
  x_CostBasis OPTIONS (description = "billed, included (usage that a seat or pool covers, BilledCost 0) or seat."),
  x_CostCenter OPTIONS (description = "Cost center on that day; NULL = unallocated."),
  x_IsProvisional OPTIONS (description = "Whether the vendor can still restate the row; for a seat and the usage it covers, any day of the month."),
  x_Model OPTIONS (description = "Model; NULL for cost that belongs to no model."),
  x_Person OPTIONS (description = "E-mail of the person, or NULL. The export omits it by default."),
  x_Product OPTIONS (description = "Product through which the usage came; seat for seat fees."),
  x_Team OPTIONS (description = "Team on that day; NULL when it is not known.")
)
OPTIONS (description = "All charges in the columns of FOCUS (FinOps Open Cost and Usage Specification) 1.2 to 1.4. Vendor usage is Usage. A seat fee is a recurring Purchase. Usage that a seat covers is Usage with BilledCost 0 and its share of the fee as EffectiveCost. The fee of a seat without usage in the month is Usage of an unused seat. BilledCost of a month and vendor adds up to its spend (billed + seat), and for a closed month to its journal: a later change is subtracted from the closed month and added as a correction to the month that posts it. A seat without a known price has no row.")
AS
WITH cost_and_tokens AS (
  -- Combine cost and tokens of one identity in one row; drop tokens without cost.
  SELECT
    usage_date, vendor, cost_basis, product, model, principal_type, principal_id, api_key_id, workspace_id, person_email,
    team, cost_center, attribution_method, requests, CAST(NULL AS INT64) AS tokens, amount_usd, list_amount_usd,
    is_provisional
  FROM ai_usage.fct_cost_daily
  WHERE amount_usd IS NOT NULL
  UNION ALL
  SELECT
    usage_date, vendor, cost_basis, product, model, principal_type, principal_id, api_key_id, workspace_id, person_email,
    team, cost_center, attribution_method, CAST(NULL AS INT64), total_tokens, CAST(NULL AS NUMERIC),
    CAST(NULL AS NUMERIC), CAST(NULL AS BOOL)
  FROM ai_usage.fct_tokens_daily
), line AS (
  SELECT
    usage_date,
    DATE_TRUNC(usage_date, MONTH) AS month,
    vendor,
    cost_basis,
    product,
    model,
    principal_type,
    principal_id,
    api_key_id,
    workspace_id,
    person_email,
    team,
    cost_center,
    attribution_method,
    -- Owner of the seat, or of the seat that covers the usage.
    CASE WHEN principal_type = 'user' THEN principal_id ELSE person_email END AS holder,
    CAST(SUM(requests) AS INT64) AS requests,
    CAST(SUM(tokens) AS INT64) AS tokens,
    SUM(amount_usd) AS amount_usd,
    SUM(list_amount_usd) AS list_amount_usd,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM cost_and_tokens
  GROUP BY
    usage_date, vendor, cost_basis, product, model, principal_type, principal_id, api_key_id, workspace_id, person_email,
    team, cost_center, attribution_method
  HAVING COUNT(cost_and_tokens.amount_usd) > 0
), weighted AS (
  -- In hundredths of a cent, so that shares use integer arithmetic: equal in all engines.
  SELECT
    *,
    CASE
      WHEN cost_basis = 'included' AND holder IS NOT NULL
        THEN GREATEST(CAST(FLOOR(amount_usd * NUMERIC '10000') AS INT64), 0)
    END AS own_value,
    CASE WHEN cost_basis = 'included' AND holder IS NOT NULL THEN COALESCE(requests, 0) END AS own_requests
  FROM line
), matched_seats AS (
  -- Match a seat with the usage it covers within a month, person, team and cost center, so that each of these adds up.
  SELECT
    *,
    CASE WHEN SUM(own_value) OVER seat > 0 THEN own_value ELSE own_requests END AS weight,
    CASE
      WHEN SUM(own_value) OVER seat > 0 THEN SUM(own_value) OVER seat
      ELSE SUM(own_requests) OVER seat
    END AS total_weight,
    SUM(CASE WHEN cost_basis = 'seat' THEN amount_usd END) OVER seat AS fee_usd,
    LOGICAL_OR(is_provisional) OVER seat AS is_seat_provisional
  FROM weighted
  WINDOW seat AS (PARTITION BY month, vendor, holder, person_email, team, cost_center)
), fee_shares AS (
  SELECT
    *,
    CAST(ROUND(
      fee_usd * CAST(
        CAST(DIV(weight * 1000000000, NULLIF(total_weight, 0)) AS NUMERIC) * NUMERIC '0.000000001' AS NUMERIC
      ), 9
    ) AS NUMERIC) AS fee_part_usd,
    ROW_NUMBER() OVER (
      PARTITION BY month, vendor, holder, person_email, team, cost_center, cost_basis
      ORDER BY
        weight DESC, usage_date, product NULLS FIRST, model NULLS FIRST, principal_type, principal_id NULLS FIRST,
        attribution_method
    ) AS part_no,
    CAST(ROUND(CAST(SAFE_DIVIDE(
      amount_usd, SUM(amount_usd) OVER (PARTITION BY usage_date, vendor, cost_basis, principal_id)
    ) AS NUMERIC), 6) AS NUMERIC) AS share_of_seat
  FROM matched_seats
), reconciled AS (
  -- The shares of a fee add up to the fee: the largest share takes the rounding remainder.
  SELECT
    *,
    CASE
      WHEN cost_basis <> 'included' THEN NUMERIC '0'
      WHEN part_no = 1 THEN COALESCE(fee_usd - (SUM(fee_part_usd) OVER seat - fee_part_usd), 0)
      ELSE COALESCE(fee_part_usd, 0)
    END AS covered_usd
  FROM fee_shares
  WINDOW seat AS (PARTITION BY month, vendor, holder, person_email, team, cost_center)
), entry AS (
  SELECT
    reconciled.month,
    reconciled.usage_date AS period_start,
    DATE_ADD(reconciled.usage_date, INTERVAL 1 DAY) AS period_end,
    CASE WHEN side.is_idle THEN 'idle' ELSE reconciled.cost_basis END AS kind,
    reconciled.vendor,
    reconciled.cost_basis,
    reconciled.product,
    reconciled.model,
    reconciled.principal_type,
    reconciled.principal_id,
    reconciled.api_key_id,
    reconciled.workspace_id,
    reconciled.person_email,
    reconciled.team,
    reconciled.cost_center,
    reconciled.attribution_method,
    reconciled.requests,
    reconciled.tokens,
    reconciled.amount_usd,
    reconciled.list_amount_usd,
    reconciled.covered_usd,
    reconciled.share_of_seat,
    CASE WHEN reconciled.cost_basis = 'billed' THEN reconciled.is_provisional ELSE reconciled.is_seat_provisional END AS is_provisional
  FROM reconciled
  CROSS JOIN (SELECT FALSE AS is_idle UNION ALL SELECT TRUE) AS side
  WHERE NOT side.is_idle OR (reconciled.cost_basis = 'seat' AND COALESCE(reconciled.total_weight, 0) = 0)
  UNION ALL
  -- The charges above follow today's facts. Changes of a closed month are subtracted from it, so that it stays as closed,
  -- and added as corrections to the month that posts them.
  SELECT
    CASE WHEN side.is_correction THEN journal.posting_month ELSE journal.usage_month END,
    journal.usage_month,
    DATE_ADD(journal.usage_month, INTERVAL 1 MONTH),
    CASE WHEN side.is_correction THEN 'correction' ELSE 'carried' END,
    journal.vendor,
    journal.cost_basis,
    journal.product,
    CAST(NULL AS STRING),
    CAST(NULL AS STRING),
    CAST(NULL AS STRING),
    CAST(NULL AS STRING),
    CAST(NULL AS STRING),
    CAST(NULL AS STRING),
    journal.team,
    journal.cost_center,
    CAST(NULL AS STRING),
    CAST(NULL AS INT64),
    CAST(NULL AS INT64),
    CASE WHEN side.is_correction THEN journal.amount_usd ELSE -journal.amount_usd END,
    CASE WHEN side.is_correction THEN journal.amount_usd ELSE -journal.amount_usd END,
    CAST(NULL AS NUMERIC),
    CAST(NULL AS NUMERIC),
    journal.is_provisional
  FROM ai_usage.kpi_chargeback AS journal
  CROSS JOIN (SELECT TRUE AS is_correction UNION ALL SELECT FALSE) AS side
  WHERE journal.line_type = 'correction'
), organization AS (
  SELECT vendor, object_id AS organization_id, name
  FROM ai_usage.int_directory
  WHERE object_type = 'organization'
), charge AS (
  SELECT
    entry.*,
    CASE kind WHEN 'included' THEN NUMERIC '0' WHEN 'idle' THEN NUMERIC '0' ELSE amount_usd END AS billed_usd,
    CASE kind WHEN 'included' THEN covered_usd WHEN 'seat' THEN NUMERIC '0' ELSE amount_usd END AS effective_usd,
    CASE kind WHEN 'idle' THEN NUMERIC '0' ELSE amount_usd END AS contracted_usd,
    CASE kind WHEN 'idle' THEN NUMERIC '0' ELSE list_amount_usd END AS list_usd,
    CASE
      WHEN kind IN ('correction', 'carried') THEN NULL
      WHEN kind = 'seat' THEN COALESCE(share_of_seat, NUMERIC '1')
      WHEN kind = 'idle' THEN NUMERIC '0'
      WHEN tokens > 0 THEN CAST(tokens AS NUMERIC)
      WHEN requests > 0 THEN CAST(requests AS NUMERIC)
      ELSE NUMERIC '1'
    END AS quantity,
    CASE
      WHEN kind IN ('correction', 'carried') THEN NULL
      WHEN kind = 'seat' THEN 'Seat-Days'
      WHEN kind = 'idle' OR tokens > 0 THEN 'Tokens'
      WHEN requests > 0 THEN 'Requests'
      ELSE 'Charges'
    END AS unit,
    dim_vendor.label AS provider,
    dim_vendor.service_name,
    dim_vendor.billing_account_name,
    dim_vendor.billing_account_type,
    -- Escape for JSON.
    REPLACE(REPLACE(REGEXP_REPLACE(team, r'[\x00-\x1f]', ' '), '\\', '\\\\'), '"', '\\"') AS team_json,
    REPLACE(REPLACE(REGEXP_REPLACE(cost_center, r'[\x00-\x1f]', ' '), '\\', '\\\\'), '"', '\\"') AS cost_center_json
  FROM entry
  JOIN ai_usage.dim_vendor AS dim_vendor ON dim_vendor.vendor = entry.vendor
)
SELECT
  CAST(NULL AS STRING) AS AllocatedMethodDetails,
  CAST(NULL AS STRING) AS AllocatedMethodId,
  CAST(NULL AS STRING) AS AllocatedResourceId,
  CAST(NULL AS STRING) AS AllocatedResourceName,
  CAST(NULL AS STRING) AS AllocatedTags,
  CAST(NULL AS STRING) AS AvailabilityZone,
  charge.billed_usd AS BilledCost,
  COALESCE(organization.organization_id, charge.vendor) AS BillingAccountId,
  COALESCE(organization.name, charge.billing_account_name) AS BillingAccountName,
  charge.billing_account_type AS BillingAccountType,
  'USD' AS BillingCurrency,
  TIMESTAMP(DATE_ADD(charge.month, INTERVAL 1 MONTH)) AS BillingPeriodEnd,
  TIMESTAMP(charge.month) AS BillingPeriodStart,
  CAST(NULL AS STRING) AS CapacityReservationId,
  CAST(NULL AS STRING) AS CapacityReservationStatus,
  CASE charge.kind
    WHEN 'seat' THEN 'Purchase'
    WHEN 'correction' THEN 'Adjustment'
    WHEN 'carried' THEN 'Adjustment'
    ELSE 'Usage'
  END AS ChargeCategory,
  CASE charge.kind WHEN 'correction' THEN 'Correction' END AS ChargeClass,
  CASE charge.kind
    WHEN 'seat' THEN CONCAT(charge.provider, ': seat, one day')
    WHEN 'idle' THEN CONCAT(charge.provider, ': seat that covers no usage in the month, one day')
    WHEN 'correction' THEN CONCAT(charge.provider, ': correction of a closed month, ', charge.cost_basis)
    WHEN 'carried' THEN CONCAT(charge.provider, ': corrected after the close, carried in a later month, ', charge.cost_basis)
    WHEN 'included' THEN CONCAT(charge.provider, ': usage covered by a seat or pool, ', COALESCE(charge.model, 'no model'))
    ELSE CONCAT(
      charge.provider, ': usage, ', COALESCE(charge.product, 'no product'), ', ', COALESCE(charge.model, 'no model')
    )
  END AS ChargeDescription,
  CASE charge.kind
    WHEN 'seat' THEN 'Recurring'
    WHEN 'idle' THEN 'Recurring'
    WHEN 'correction' THEN 'One-Time'
    WHEN 'carried' THEN 'One-Time'
    ELSE 'Usage-Based'
  END AS ChargeFrequency,
  TIMESTAMP(charge.period_end) AS ChargePeriodEnd,
  TIMESTAMP(charge.period_start) AS ChargePeriodStart,
  CAST(NULL AS STRING) AS CommitmentDiscountCategory,
  CAST(NULL AS STRING) AS CommitmentDiscountId,
  CAST(NULL AS STRING) AS CommitmentDiscountName,
  CAST(NULL AS NUMERIC) AS CommitmentDiscountQuantity,
  CAST(NULL AS STRING) AS CommitmentDiscountStatus,
  CAST(NULL AS STRING) AS CommitmentDiscountType,
  CAST(NULL AS STRING) AS CommitmentDiscountUnit,
  CAST(NULL AS STRING) AS CommitmentProgramEligibilityDetails,
  CASE WHEN charge.kind <> 'seat' THEN charge.quantity END AS ConsumedQuantity,
  CASE WHEN charge.kind <> 'seat' THEN charge.unit END AS ConsumedUnit,
  CAST(NULL AS STRING) AS ContractApplied,
  charge.contracted_usd AS ContractedCost,
  CAST(NULL AS NUMERIC) AS ContractedUnitPrice,
  charge.effective_usd AS EffectiveCost,
  CAST(NULL AS STRING) AS HostProviderName,
  CAST(NULL AS STRING) AS InvoiceDetailId,
  CAST(NULL AS STRING) AS InvoiceId,
  charge.provider AS InvoiceIssuerName,
  charge.list_usd AS ListCost,
  CAST(NULL AS NUMERIC) AS ListUnitPrice,
  CASE
    WHEN charge.kind IN ('correction', 'carried') THEN NULL
    WHEN charge.kind IN ('included', 'idle') THEN 'Other'
    ELSE 'Standard'
  END AS PricingCategory,
  'USD' AS PricingCurrency,
  CAST(NULL AS NUMERIC) AS PricingCurrencyContractedUnitPrice,
  charge.effective_usd AS PricingCurrencyEffectiveCost,
  CAST(NULL AS NUMERIC) AS PricingCurrencyListUnitPrice,
  charge.quantity AS PricingQuantity,
  charge.unit AS PricingUnit,
  charge.provider AS ProviderName,
  charge.provider AS PublisherName,
  CAST(NULL AS STRING) AS RegionId,
  CAST(NULL AS STRING) AS RegionName,
  CASE
    WHEN charge.api_key_id IS NOT NULL THEN charge.api_key_id
    WHEN charge.principal_type IN ('service_account', 'federated', 'automation', 'cloud_agent') THEN charge.principal_id
  END AS ResourceId,
  api_key.name AS ResourceName,
  CASE
    WHEN charge.api_key_id IS NOT NULL THEN 'API Key'
    WHEN charge.principal_id IS NULL THEN NULL
    WHEN charge.principal_type = 'service_account' THEN 'Service Account'
    WHEN charge.principal_type = 'federated' THEN 'Federated Identity'
    WHEN charge.principal_type = 'automation' THEN 'Automation'
    WHEN charge.principal_type = 'cloud_agent' THEN 'Cloud Agent'
  END AS ResourceType,
  'AI and Machine Learning' AS ServiceCategory,
  charge.service_name AS ServiceName,
  charge.provider AS ServiceProviderName,
  'Generative AI' AS ServiceSubcategory,
  CASE
    WHEN charge.kind IN ('correction', 'carried') THEN NULL
    WHEN charge.cost_basis = 'seat' THEN CONCAT(charge.vendor, '/seat')
    ELSE CONCAT(charge.vendor, '/', COALESCE(charge.product, 'no product'), '/', COALESCE(charge.model, 'no model'))
  END AS SkuId,
  CASE
    WHEN charge.kind IN ('correction', 'carried') THEN NULL
    WHEN charge.cost_basis = 'seat' THEN 'Seat'
    ELSE 'Model Usage'
  END AS SkuMeter,
  CAST(NULL AS STRING) AS SkuPriceDetails,
  CAST(NULL AS STRING) AS SkuPriceId,
  charge.workspace_id AS SubAccountId,
  COALESCE(workspace.name, charge.workspace_id) AS SubAccountName,
  CASE WHEN charge.workspace_id IS NOT NULL THEN 'Workspace' END AS SubAccountType,
  CASE
    WHEN charge.team IS NOT NULL AND charge.cost_center IS NOT NULL
      THEN CONCAT('{"team":"', charge.team_json, '","cost_center":"', charge.cost_center_json, '"}')
    WHEN charge.team IS NOT NULL THEN CONCAT('{"team":"', charge.team_json, '"}')
    WHEN charge.cost_center IS NOT NULL THEN CONCAT('{"cost_center":"', charge.cost_center_json, '"}')
  END AS Tags,
  day.as_of_date AS x_AsOfDate,
  charge.attribution_method AS x_AttributionMethod,
  charge.cost_basis AS x_CostBasis,
  charge.cost_center AS x_CostCenter,
  charge.is_provisional AS x_IsProvisional,
  charge.model AS x_Model,
  charge.person_email AS x_Person,
  charge.product AS x_Product,
  charge.team AS x_Team
FROM charge
LEFT JOIN ai_usage.dim_date AS day ON day.usage_date = charge.period_start
LEFT JOIN ai_usage.dim_api_key AS api_key
  ON api_key.vendor = charge.vendor AND api_key.api_key_id = charge.api_key_id
LEFT JOIN ai_usage.dim_workspace AS workspace
  ON workspace.vendor = charge.vendor AND workspace.workspace_id = charge.workspace_id
LEFT JOIN organization ON organization.vendor = charge.vendor
