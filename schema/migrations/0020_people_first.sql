-- What a tenant promises the people it writes to; every intent asks (schema/sql/intent.sql N10), and every message that comes in (actors/opt-out).
alter table tenants
  -- nothing goes to who has no record of consent
  add column consent_required boolean not null default false,
  -- as plainWords in schema/domain writes them; beside those that hold for everybody
  add column stop_words text[] not null default '{}',
  add column start_words text[] not null default '{}';
