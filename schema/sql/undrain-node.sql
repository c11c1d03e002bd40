-- Takes the wish that a node hands over its devices back. $1 node
-- Result: one row when the node lives (whether or not there was a wish). It hears of it with its next report at the latest.
update nodes n set drain = false
where n.id = $1 and n.state <> 'GONE' and n.seen_at >= clock_timestamp() - interval '15 seconds'
returning n.id
