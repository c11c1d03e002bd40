-- Devices that were deleted lately and still have messages that have not ended. $1 most
select d.id, d.tenant_id
from devices d
join lateral (select o.ended from ownership o where o.device_id = d.id limit 1) o on true
where d.deleted_at is not null and d.changed_at > clock_timestamp() - interval '7 days'
  and (select coalesce(sum(c.accepted), 0) from lane_counters c where c.device_id = d.id) > o.ended
order by d.changed_at
limit $1
