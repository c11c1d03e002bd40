-- What was last counted of a large fleet (schema/sql/fleet-totals.ts): counting 100,000 devices takes longer than an answer may. Fleets that
-- are counted in no time have no row.
create table fleet_totals (
  tenant_id  uuid primary key references tenants (id),
  devices    bigint not null,
  backlog    bigint not null,
  counted_at timestamptz not null,
  took_ms    real not null                        -- of counting: decides how often that is done
) with (fillfactor = 50);
