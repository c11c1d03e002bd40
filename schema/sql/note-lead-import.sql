-- How far an import has come: counts are added, faults kept up to a number, and its state is answered, so that who cancels it is heard.
-- $1 id  $2 bytes read so far  $3 rows  $4 made  $5 changed  $6 faulty (each since the last time)  $7 state to end in (null = goes on)  $8 error
-- $9 most faults kept  $10 row  $11 field  $12 message (of the faults)
-- Guarantees: an ended import does not change any more; counts and faults of one call are one commit.
with noted as (
  update lead_imports i
  set bytes = greatest(i.bytes, $2::bigint), rows = i.rows + $3::bigint, made = i.made + $4::bigint, changed = i.changed + $5::bigint,
    faulty = i.faulty + $6::bigint, seen_at = clock_timestamp(),
    state = coalesce($7, i.state), error = coalesce($8, i.error), ended_at = case when $7::text is not null then clock_timestamp() end
  where i.id = $1::uuid and i.state = 'RUNNING'
  returning i.id, i.state, i.faulty - $6::bigint as before
), kept as (
  insert into lead_import_faults (import_id, row, field, message)
  select n.id, f.row, f.field, f.message
  from noted n, unnest($10::bigint[], $11::text[], $12::text[]) with ordinality as f (row, field, message, ord)
  where n.before + f.ord <= $9::bigint
  on conflict do nothing
)
select n.state from noted n
