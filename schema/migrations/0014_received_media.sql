-- Files that came with messages, as their senders describe them; and what was received, newest first.
alter table inbound_messages add column media jsonb;
create index inbound_messages_tenant on inbound_messages (tenant_id, received_at desc, device_id, id);
create index inbound_messages_device on inbound_messages (device_id, received_at desc, id);
