-- The whole ledger of a campaign run. Result: one row per message, with its place in its flow and its last intent (wall ms), in no order.
select m.id, m.device_id as device, m.lane, m.seq, m.state, m.flow_no as flow, m.lead_no as lead, m.step,
  floor(extract(epoch from m.intent_at) * 1000)::float8 as intent_at
from messages m
