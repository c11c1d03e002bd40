-- Begins the next file of the log, which needs room on the disk. Needs a write since the last time.
select pg_switch_wal()
