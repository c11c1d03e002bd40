-- Bytes on disk with all indexes: of enrolments and the ledger, and of the ledger made up front.
select pg_total_relation_size('enrolments')::float8
  + (select coalesce(sum(pg_total_relation_size(i.inhrelid)), 0) from pg_inherits i where i.inhparent = 'messages'::regclass)::float8 as used,
  coalesce(pg_total_relation_size(to_regclass('eager_messages')), 0)::float8 as eager
