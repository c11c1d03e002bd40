-- Wishes that a node hands over all its devices and takes no more. $1 node
-- Result: is it living; how many other nodes live and take devices; does the wish stand now.
-- Guarantee: of two wishes at once for the last two nodes one fails: living nodes are locked in id order and read as last committed.
with living as materialized (
  select n.id, n.state, n.drain
  from nodes n
  where n.state <> 'GONE' and n.seen_at >= clock_timestamp() - interval '15 seconds'
  order by n.id
  for update of n
), others as materialized (
  select count(*) as count from living l where l.id <> $1 and l.state = 'ACTIVE' and not l.drain
), wished as (
  update nodes n set drain = true
  from living l, others o
  where n.id = $1 and l.id = n.id and (o.count > 0 or l.drain)
  returning n.id
)
select exists (select from living l where l.id = $1) as living, (select o.count from others o) as others,
  exists (select from wished) as wished
