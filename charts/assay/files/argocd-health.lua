-- Health of a StrategyPipeline for Argo CD: what its conditions say about the newest generation.
-- Put it into the ConfigMap argocd-cm under resource.customizations.health.assay.dev_StrategyPipeline (docs/install.md).
local health = {status = "Progressing", message = "waiting for the operator"}

local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end

local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end

if obj.spec.suspend then
  health.status = "Suspended"
  health.message = "suspended: processors are stopped, everything is kept"
elseif found.Stalled and found.Stalled.status == "True" then
  health.status = "Degraded"
  health.message = found.Stalled.message
elseif found.Ready and found.Ready.status == "True" then
  health.status = "Healthy"
  health.message = found.Ready.message
elseif found.Ready and found.Ready.status == "False" and not (found.Reconciling and found.Reconciling.status == "True") then
  health.status = "Degraded"
  health.message = found.Ready.message
elseif found.Ready then
  health.message = found.Ready.message
end
return health
