-- What still has to happen where nothing holds it: enrolments and messages that have not ended, of flows that run, on devices without a cap.
select
  (select count(*) from enrolments e join devices d on d.no = e.device_no join flows f on f.no = e.flow_no
   where e.cause is null and d.daily_cap is null and f.state = 'RUNNING')
  + (select count(*) from messages m join devices d on d.id = m.device_id where m.state <= 'UNKNOWN' and d.daily_cap is null) as left_over,
  (select count(*) from devices d join ownership o on o.device_id = d.id where d.daily_cap is not null and o.day_sent < d.daily_cap) as below_cap
