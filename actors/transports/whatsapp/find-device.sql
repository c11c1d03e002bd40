-- In: $1 a device's id or name. Out: its rows with tenant, owner and session, at most 5 (a name is unique in its tenant only).
select d.id, d.name, t.name as tenant, d.transport::text, d.paired, d.phone, o.node
from devices d
join tenants t on t.id = d.tenant_id
left join ownership o on o.device_id = d.id
where d.deleted_at is null and (d.id::text = $1::text or d.name = $1::text)
order by d.id
limit 5
