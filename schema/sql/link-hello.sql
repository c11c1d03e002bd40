-- Devices that say hello on the link, and who owns them. $1 SHA-256 of their tokens
-- Result: one row per token that is a device's, deleted ones too; the order is not that of the tokens.
select d.link_token_hash as hash, d.id, d.tenant_id, d.deleted_at is not null or d.transport <> 'link' as gone,
  coalesce(o.epoch, 0) as epoch, o.node
from devices d
left join ownership o on o.device_id = d.id
where d.link_token_hash = any($1::bytea[])
