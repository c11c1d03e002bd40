-- Forgets what the history no longer shows: 10 s buckets after an hour, minutes and samples after two days, hours after 90 days.
with buckets as (
  delete from traffic t where t.bucket < clock_timestamp() - interval '1 hour'
), minutes as (
  delete from traffic_history h where h.grain = 60 and h.start < clock_timestamp() - interval '2 days'
), hours as (
  delete from traffic_history h where h.grain = 3600 and h.start < clock_timestamp() - interval '90 days'
)
delete from fleet_samples s where s.at < clock_timestamp() - interval '2 days'
