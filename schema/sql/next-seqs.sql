-- The next seq of every lane of the given devices, and whether the device has messages that have not ended. $1 devices
select c.device_id, c.lane, c.next_seq, sum(c.accepted) over (partition by c.device_id) > o.ended as has_open
from lane_counters c
join ownership o on o.device_id = any($1::uuid[]) and o.device_id = c.device_id
where c.device_id = any($1::uuid[])
order by c.device_id, c.lane
