-- A campaign is DONE when its last lead is. The leads whose message is in the ledger are few at any moment (a window a device), and found by this index;
-- those that wait for their time are found by enrolments_due.
create index enrolments_in_ledger on enrolments (flow_no) where cause is null and due_at is null;

-- As before, but a redriven message that a pause takes back leaves an enrolment that waits, not one that waits and has failed. When its campaign was DONE
-- meanwhile (its hours are closed), the campaign runs again, or nobody would ever look at the one that waits.
create or replace function flow_message_ended() returns trigger language plpgsql as $$
begin
  if new.state in ('SENT', 'DELIVERED', 'READ') then
    update enrolments e
    set step = e.step + 1,
      message_id = null,
      cause = case when s.delay_ms is null then 'DONE' end,
      due_at = case when s.delay_ms is not null then clock_timestamp() + s.delay_ms * interval '1 millisecond' end
    from (select (select s.delay_ms from steps s where s.flow_no = new.flow_no and s.position = new.step + 1) as delay_ms) s
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
    if found then
      insert into enrolments (flow_no, lead_no, device_no, due_at)
      select n.no, e.lead_no, e.device_no, clock_timestamp() + s.delay_ms * interval '1 millisecond'
      from enrolments e
      join flows f on f.no = e.flow_no
      join flows n on n.no = f.next_flow_no and n.state in ('RUNNING', 'PAUSED')
      join steps s on s.flow_no = n.no and s.position = 1
      where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.cause = 'DONE'
      on conflict do nothing;
    end if;
  elsif new.state = 'CANCELLED' and new.cause = 'FLOW_PAUSED' then
    update enrolments e
    set message_id = null, cause = null, due_at = clock_timestamp()
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
    if found then
      update flows f set state = 'RUNNING', ended_at = null, changed_at = clock_timestamp() where f.no = new.flow_no and f.state = 'DONE';
    end if;
  elsif new.state in ('FAILED', 'DEAD') then
    update enrolments e
    set cause = new.state::text
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
  else
    update enrolments e
    set cause = new.state::text, message_id = null
    where e.flow_no = new.flow_no and e.lead_no = new.lead_no and e.message_id = new.id;
  end if;
  return null;
end $$;
