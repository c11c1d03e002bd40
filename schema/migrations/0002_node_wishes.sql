-- What is wanted of a node, kept until the process that it was wanted of has ended (upsert-node.sql).
alter table nodes
  -- random per process: tells a restarted node from the one that was to be drained
  add column instance text not null default '',
  add column drain boolean not null default false;
