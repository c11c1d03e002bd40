-- Tenants that want to hear of their devices.
select distinct w.tenant_id from webhooks w where w.disabled_at is null and w.deleted_at is null and 'device.state' = any(w.events)
