-- When the quiet hours that hold at a moment end; null = none hold. hours = {"zone", "from": "21:00", "to": "08:00"}; to <= from reaches over midnight.
-- A zone that leaps over `to` ends them at the moment that the leap leads to.
create function quiet_until(hours jsonb, at timestamptz) returns timestamptz language sql stable as $$
  select case
    when hours is null then null
    when h.t0 < h.t1 and h.here::time >= h.t0 and h.here::time < h.t1 then (h.here::date + h.t1) at time zone h.zone
    when h.t0 >= h.t1 and h.here::time >= h.t0 then (h.here::date + 1 + h.t1) at time zone h.zone
    when h.t0 >= h.t1 and h.here::time < h.t1 then (h.here::date + h.t1) at time zone h.zone
  end
  from (select at at time zone (hours ->> 'zone') as here, (hours ->> 'from')::time as t0, (hours ->> 'to')::time as t1, hours ->> 'zone' as zone) h
$$;

-- Most sends of a device on a day (UTC): its cap, and while its number is new the step of that day. ramp = {"from": "2026-11-21", "steps": [20, 30, 50]}; null = no cap.
-- Stable, as its casts are: so it is put into the statement, not called for each row.
create function sends_a_day(daily_cap integer, ramp jsonb, today date) returns integer language sql stable as $$
  select least(daily_cap, (ramp -> 'steps' ->> greatest(0, today - (ramp ->> 'from')::date))::integer)
$$;
