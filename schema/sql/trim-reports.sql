-- Forgets steps that are older than reports go back. Of devices: minutes after 3 hours, hours after 14 days, days after 400 days; of the rest: minutes
-- after 2 days, hours after 90 days, days after 800 days. $1 most rows of a kind; the caller comes again.
with kept (about, grain, span) as (
  values ('DEVICE', 60, interval '3 hours'), ('DEVICE', 3600, interval '14 days'), ('DEVICE', 86400, interval '400 days'),
    ('FLEET', 60, interval '2 days'), ('FLEET', 3600, interval '90 days'), ('FLEET', 86400, interval '800 days'),
    ('FLOW', 60, interval '2 days'), ('FLOW', 3600, interval '90 days'), ('FLOW', 86400, interval '800 days'),
    ('NODE', 60, interval '2 days'), ('NODE', 3600, interval '90 days'), ('NODE', 86400, interval '800 days')
), steps as (
  delete from report_steps s
  where s.ctid = any(array(
    select o.ctid from kept k
    cross join lateral (
      select x.ctid from report_steps x
      where x.about = k.about and x.grain = k.grain and x.start < clock_timestamp() - k.span
      limit $1::integer
    ) o
  ))
  returning 1 as gone
), causes as (
  delete from report_causes s
  where s.ctid = any(array(
    select o.ctid from kept k
    cross join lateral (
      select x.ctid from report_causes x
      where x.about = k.about and x.grain = k.grain and x.start < clock_timestamp() - k.span
      limit $1::integer
    ) o
  ))
  returning 1 as gone
)
select (select count(*) from steps) + (select count(*) from causes) as gone
