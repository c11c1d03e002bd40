-- Snapshot of the schema after all migrations. Made by: npm run snapshots. Do not edit.

create type lane as enum ('control', 'high', 'normal');

create type message_state as enum ('QUEUED', 'SENDING', 'WRITTEN', 'UNKNOWN', 'FAILED', 'DEAD', 'CANCELLED', 'SUPPRESSED', 'SENT', 'DELIVERED', 'READ');

create type transport as enum ('simulator', 'link', 'whatsapp');

create table acquaintances (
  device_id uuid not null,
  phone text not null,
  constraint acquaintances_pkey PRIMARY KEY (device_id, phone),
  constraint acquaintances_device_id_fkey FOREIGN KEY (device_id) REFERENCES devices(id)
);

create table api_keys (
  id uuid not null,
  tenant_id uuid,
  name text not null,
  hash bytea not null,
  scopes text[] not null,
  created_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone,
  revoked_at timestamp with time zone,
  constraint api_keys_pkey PRIMARY KEY (id),
  constraint api_keys_hash_key UNIQUE (hash),
  constraint api_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id)
);
CREATE INDEX api_keys_tenant ON public.api_keys USING btree (tenant_id, created_at);

create table audit (
  id uuid not null,
  tenant_id uuid,
  api_key_id uuid,
  action text not null,
  subject text,
  detail jsonb not null default '{}'::jsonb,
  at timestamp with time zone not null default now(),
  constraint audit_pkey PRIMARY KEY (id)
);
CREATE INDEX audit_tenant_id ON public.audit USING btree (tenant_id, id DESC);

create table ceilings (
  tenant_id uuid not null,
  flow_no integer not null,
  next_at timestamp with time zone not null,
  constraint ceilings_pkey PRIMARY KEY (tenant_id, flow_no)
) with (fillfactor=50);

create table dead_letters (
  message_id uuid not null,
  tenant_id uuid not null,
  device_id uuid not null,
  state message_state not null,
  cause text not null,
  attempts integer not null,
  last_error text,
  created_at timestamp with time zone not null default now(),
  redriven_at timestamp with time zone,
  redrives integer not null default 0,
  flow_no integer,
  constraint dead_letters_pkey PRIMARY KEY (message_id)
);
CREATE INDEX dead_letters_tenant ON public.dead_letters USING btree (tenant_id, created_at, message_id) WHERE (redriven_at IS NULL);

create table devices (
  id uuid not null,
  tenant_id uuid not null,
  partition smallint not null,
  name text not null,
  phone text,
  transport transport not null,
  paired boolean not null default false,
  paused boolean not null default false,
  pause_reason text,
  quarantined boolean not null default false,
  quarantine_reason text,
  pace_min_ms integer not null default 5000,
  pace_max_ms integer not null default 15000,
  daily_cap integer,
  link_token_hash bytea,
  settings jsonb not null default '{}'::jsonb,
  created_at timestamp with time zone not null default now(),
  changed_at timestamp with time zone not null default now(),
  deleted_at timestamp with time zone,
  no integer generated always as identity not null,
  constraint devices_pkey PRIMARY KEY (id),
  constraint devices_link_token_hash_key UNIQUE (link_token_hash),
  constraint devices_tenant_id_name_key UNIQUE (tenant_id, name),
  constraint devices_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
  constraint devices_check CHECK ((pace_max_ms >= pace_min_ms)),
  constraint devices_daily_cap_check CHECK ((daily_cap > 0)),
  constraint devices_pace_min_ms_check CHECK ((pace_min_ms >= 0)),
  constraint devices_partition_check CHECK (((partition >= 0) AND (partition <= 255)))
);
CREATE INDEX devices_changed ON public.devices USING btree (changed_at);
CREATE UNIQUE INDEX devices_no ON public.devices USING btree (no);
CREATE INDEX devices_tenant ON public.devices USING btree (tenant_id, id) WHERE (deleted_at IS NULL);

create table enrolments (
  flow_no integer not null,
  lead_no bigint not null,
  device_no integer not null,
  step smallint not null default 1,
  due_at timestamp with time zone,
  message_id uuid,
  cause text,
  ended_at timestamp with time zone,
  variant smallint,
  constraint enrolments_pkey PRIMARY KEY (flow_no, lead_no)
) with (fillfactor=90, autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_cost_delay=0);
CREATE INDEX enrolments_due ON public.enrolments USING btree (flow_no, device_no, due_at) WHERE (due_at IS NOT NULL);
CREATE INDEX enrolments_in_ledger ON public.enrolments USING btree (flow_no) WHERE ((cause IS NULL) AND (due_at IS NULL));

create table erasures (
  id uuid not null,
  tenant_id uuid not null,
  hashes bytea[] not null,
  at_message uuid not null default '00000000-0000-0000-0000-000000000000'::uuid,
  first_message uuid not null,
  looked_at timestamp with time zone,
  messages bigint not null default 0,
  created_at timestamp with time zone not null default now(),
  done_at timestamp with time zone,
  constraint erasures_pkey PRIMARY KEY (id),
  constraint erasures_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id)
);
CREATE INDEX erasures_open ON public.erasures USING btree (created_at) WHERE (done_at IS NULL);
CREATE INDEX erasures_tenant ON public.erasures USING btree (tenant_id);

create table fleet_samples (
  tenant_id uuid not null,
  at timestamp with time zone not null,
  devices integer not null,
  backlog bigint not null,
  constraint fleet_samples_pkey PRIMARY KEY (tenant_id, at)
);
CREATE INDEX fleet_samples_old ON public.fleet_samples USING btree (at);

create table fleet_totals (
  tenant_id uuid not null,
  devices bigint not null,
  backlog bigint not null,
  counted_at timestamp with time zone not null,
  took_ms real not null,
  constraint fleet_totals_pkey PRIMARY KEY (tenant_id),
  constraint fleet_totals_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id)
) with (fillfactor=50);

create table flow_rules (
  flow_no integer not null,
  tenant_id uuid not null,
  does text not null,
  kind text not null,
  value text not null default ''::text,
  constraint flow_rules_pkey PRIMARY KEY (flow_no, does, kind, value),
  constraint flow_rules_flow_no_fkey FOREIGN KEY (flow_no) REFERENCES flows(no),
  constraint flow_rules_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
  constraint flow_rules_does_check CHECK ((does = ANY (ARRAY['ENROL'::text, 'END'::text]))),
  constraint flow_rules_kind_check CHECK ((kind = ANY (ARRAY['TAG'::text, 'STAGE'::text, 'REPLY'::text, 'KEYWORD'::text, 'WEBHOOK'::text])))
);
CREATE INDEX flow_rules_signal ON public.flow_rules USING btree (tenant_id, kind, value);

create table flow_stops (
  flow_no integer not null,
  lead_no bigint not null,
  cause text not null,
  constraint flow_stops_pkey PRIMARY KEY (flow_no, lead_no)
);

create table flows (
  no integer generated always as identity not null,
  id uuid not null,
  tenant_id uuid not null,
  kind text not null,
  name text not null,
  version integer not null default 1,
  state text not null default 'DRAFT'::text,
  lane lane not null,
  audience jsonb,
  devices jsonb not null default '{}'::jsonb,
  hours jsonb,
  settings jsonb not null default '{}'::jsonb,
  next_flow_no integer,
  enrol_from bigint,
  enrolled bigint not null default 0,
  created_at timestamp with time zone not null default now(),
  changed_at timestamp with time zone not null default now(),
  start_at timestamp with time zone,
  started_at timestamp with time zone,
  ended_at timestamp with time zone,
  reentry text not null default 'NEVER'::text,
  reentry_days integer,
  superseded_by integer,
  pace_min_ms integer,
  pace_max_ms integer,
  stagger_ms integer,
  per_minute integer,
  variants jsonb,
  constraint flows_pkey PRIMARY KEY (no),
  constraint flows_id_key UNIQUE (id),
  constraint flows_tenant_id_kind_name_version_key UNIQUE (tenant_id, kind, name, version),
  constraint flows_next_flow_no_fkey FOREIGN KEY (next_flow_no) REFERENCES flows(no),
  constraint flows_superseded_by_fkey FOREIGN KEY (superseded_by) REFERENCES flows(no),
  constraint flows_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
  constraint flows_check CHECK (((reentry = 'AFTER_DAYS'::text) = (reentry_days IS NOT NULL))),
  constraint flows_check1 CHECK (((pace_max_ms >= pace_min_ms) AND (pace_max_ms <= 86400000))),
  constraint flows_kind_check CHECK ((kind = ANY (ARRAY['CAMPAIGN'::text, 'SEQUENCE'::text]))),
  constraint flows_pace CHECK ((num_nulls(pace_min_ms, pace_max_ms) <> 1)),
  constraint flows_pace_min_ms_check CHECK (((pace_min_ms >= 0) AND (pace_min_ms <= 86400000))),
  constraint flows_per_minute_check CHECK (((per_minute >= 1) AND (per_minute <= 1000000))),
  constraint flows_reentry_check CHECK ((reentry = ANY (ARRAY['NEVER'::text, 'AFTER_END'::text, 'AFTER_DAYS'::text]))),
  constraint flows_reentry_days_check CHECK (((reentry_days >= 1) AND (reentry_days <= 3650))),
  constraint flows_stagger_ms_check CHECK (((stagger_ms >= 0) AND (stagger_ms <= 86400000))),
  constraint flows_state_check CHECK ((state = ANY (ARRAY['DRAFT'::text, 'SCHEDULED'::text, 'RUNNING'::text, 'PAUSED'::text, 'CANCELLED'::text, 'DONE'::text]))),
  constraint flows_variants_check CHECK ((jsonb_array_length(variants) >= 2))
);
CREATE INDEX flows_live ON public.flows USING btree (state) WHERE (state = ANY (ARRAY['SCHEDULED'::text, 'RUNNING'::text]));
CREATE INDEX flows_tenant ON public.flows USING btree (tenant_id, no);

create table idempotency_keys (
  tenant_id uuid not null,
  key text not null,
  content_hash bytea not null,
  message_id uuid not null,
  created_at timestamp with time zone not null default now(),
  constraint idempotency_keys_pkey PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_keys_created ON public.idempotency_keys USING btree (created_at);

create table identities (
  tenant_id uuid not null,
  phone text not null,
  lid text,
  registered boolean,
  checked_at timestamp with time zone,
  learnt_at timestamp with time zone not null default now(),
  constraint identities_pkey PRIMARY KEY (tenant_id, phone),
  constraint identities_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id)
);
CREATE INDEX identities_lid ON public.identities USING btree (tenant_id, lid) WHERE (lid IS NOT NULL);

create table inbound_messages (
  device_id uuid not null,
  id text not null,
  tenant_id uuid not null,
  sender text not null,
  sender_lid text,
  body text not null,
  received_at timestamp with time zone not null default now(),
  media jsonb,
  constraint inbound_messages_pkey PRIMARY KEY (device_id, id)
);
CREATE INDEX inbound_messages_device ON public.inbound_messages USING btree (device_id, received_at DESC, id);
CREATE INDEX inbound_messages_received ON public.inbound_messages USING btree (received_at);
CREATE INDEX inbound_messages_tenant ON public.inbound_messages USING btree (tenant_id, received_at DESC, device_id, id);

create table lane_counters (
  device_id uuid not null,
  lane lane not null,
  next_seq bigint not null default 1,
  accepted bigint not null default 0,
  constraint lane_counters_pkey PRIMARY KEY (device_id, lane),
  constraint lane_counters_device_id_fkey FOREIGN KEY (device_id) REFERENCES devices(id)
) with (fillfactor=50, autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_cost_delay=0);

create table lead_import_faults (
  import_id uuid not null,
  row bigint not null,
  field text not null,
  message text not null,
  constraint lead_import_faults_pkey PRIMARY KEY (import_id, "row"),
  constraint lead_import_faults_import_id_fkey FOREIGN KEY (import_id) REFERENCES lead_imports(id) ON DELETE CASCADE
);

create table lead_imports (
  id uuid not null,
  tenant_id uuid not null,
  format text not null,
  state text not null default 'RUNNING'::text,
  bytes bigint not null default 0,
  total_bytes bigint,
  rows bigint not null default 0,
  made bigint not null default 0,
  changed bigint not null default 0,
  faulty bigint not null default 0,
  error text,
  started_at timestamp with time zone not null default now(),
  seen_at timestamp with time zone not null default now(),
  ended_at timestamp with time zone,
  constraint lead_imports_pkey PRIMARY KEY (id),
  constraint lead_imports_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
  constraint lead_imports_format_check CHECK ((format = ANY (ARRAY['CSV'::text, 'NDJSON'::text]))),
  constraint lead_imports_state_check CHECK ((state = ANY (ARRAY['RUNNING'::text, 'DONE'::text, 'FAILED'::text, 'CANCELLED'::text])))
);
CREATE INDEX lead_imports_started ON public.lead_imports USING btree (started_at);
CREATE INDEX lead_imports_tenant ON public.lead_imports USING btree (tenant_id, id DESC);

create table leads (
  id uuid not null,
  tenant_id uuid not null,
  phone text,
  lid text,
  name text,
  tags text[] not null default '{}'::text[],
  stage text,
  attributes jsonb not null default '{}'::jsonb,
  consent_source text,
  consent_at timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  no bigint generated always as identity not null,
  niche text,
  device_no integer,
  changed_at timestamp with time zone not null default now(),
  constraint leads_pkey PRIMARY KEY (id),
  constraint leads_tenant_id_lid_key UNIQUE (tenant_id, lid),
  constraint leads_tenant_id_phone_key UNIQUE (tenant_id, phone),
  constraint leads_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
  constraint leads_check CHECK (((phone IS NOT NULL) OR (lid IS NOT NULL)))
);
CREATE UNIQUE INDEX leads_no ON public.leads USING btree (no);
CREATE INDEX leads_tenant ON public.leads USING btree (tenant_id, no);

create table media_chunks (
  upload_id uuid not null,
  no integer not null,
  bytes bytea not null,
  constraint media_chunks_pkey PRIMARY KEY (upload_id, no),
  constraint media_chunks_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES media_uploads(id) ON DELETE CASCADE
);

create table media_uploads (
  id uuid not null,
  tenant_id uuid not null,
  kind text not null,
  type text not null,
  file_name text,
  store text not null,
  bytes bigint,
  created_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone not null,
  constraint media_uploads_pkey PRIMARY KEY (id),
  constraint media_uploads_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
  constraint media_uploads_store_check CHECK ((store = ANY (ARRAY['postgres'::text, 'file'::text])))
);
CREATE INDEX media_uploads_expires ON public.media_uploads USING btree (expires_at);
CREATE INDEX media_uploads_tenant ON public.media_uploads USING btree (tenant_id, expires_at);

create table messages (
  id uuid not null,
  tenant_id uuid not null,
  device_id uuid not null,
  lane lane not null,
  seq bigint,
  state message_state not null default 'QUEUED'::message_state,
  attempt integer not null default 0,
  budget_from integer not null default 0,
  epoch bigint,
  node text,
  recipient text not null,
  recipient_lid text,
  body text not null,
  due_at timestamp with time zone not null,
  created_at timestamp with time zone not null default now(),
  intent_at timestamp with time zone,
  sent_at timestamp with time zone,
  delivered_at timestamp with time zone,
  read_at timestamp with time zone,
  ended_at timestamp with time zone,
  cause text,
  last_error text,
  traceparent text,
  flow_no integer,
  lead_no bigint,
  step smallint,
  content jsonb,
  wire bytea,
  variant smallint,
  constraint messages_pkey PRIMARY KEY (id)
) partition by RANGE (id);
CREATE INDEX messages_device ON ONLY public.messages USING btree (device_id, id);
CREATE INDEX messages_in_flight ON ONLY public.messages USING btree (device_id) WHERE (state = ANY (ARRAY['SENDING'::message_state, 'WRITTEN'::message_state, 'UNKNOWN'::message_state]));
CREATE INDEX messages_open ON ONLY public.messages USING btree (device_id, lane, seq) WHERE ((state = ANY (ARRAY['QUEUED'::message_state, 'SENDING'::message_state, 'WRITTEN'::message_state, 'UNKNOWN'::message_state])) AND (seq IS NOT NULL));
CREATE INDEX messages_scheduled ON ONLY public.messages USING btree (due_at) WHERE ((state = 'QUEUED'::message_state) AND (seq IS NULL));
CREATE INDEX messages_tenant ON ONLY public.messages USING btree (tenant_id, id);

create table migrations (
  number integer not null,
  name text not null,
  checksum text not null,
  applied_at timestamp with time zone not null default clock_timestamp(),
  constraint migrations_pkey PRIMARY KEY (number)
);

create table nodes (
  id text not null,
  state text not null,
  version text not null,
  host text not null,
  capacity integer not null,
  devices integer not null default 0,
  started_at timestamp with time zone not null,
  seen_at timestamp with time zone not null,
  instance text not null default ''::text,
  drain boolean not null default false,
  constraint nodes_pkey PRIMARY KEY (id),
  constraint nodes_state_check CHECK ((state = ANY (ARRAY['JOINING'::text, 'ACTIVE'::text, 'DRAINING'::text, 'GONE'::text])))
);

create table ownership (
  device_id uuid not null,
  partition smallint not null,
  epoch bigint not null default 0,
  node text,
  acquired_at timestamp with time zone,
  crashes smallint not null default 0,
  last_message_id uuid,
  next_send_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
  day date not null default '-infinity'::date,
  day_sent integer not null default 0,
  ended bigint not null default 0,
  constraint ownership_pkey PRIMARY KEY (device_id),
  constraint ownership_device_id_fkey FOREIGN KEY (device_id) REFERENCES devices(id),
  constraint ownership_ended_check CHECK ((ended >= 0))
) with (fillfactor=50, autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_cost_delay=0);
CREATE INDEX ownership_partition ON public.ownership USING btree (partition);

create table recipient_sends (
  tenant_id uuid not null,
  recipient text not null,
  sent timestamp with time zone[] not null,
  last_at timestamp with time zone not null,
  constraint recipient_sends_pkey PRIMARY KEY (tenant_id, recipient)
);
CREATE INDEX recipient_sends_last ON public.recipient_sends USING btree (last_at);

create table redrives (
  id uuid not null,
  tenant_id uuid not null,
  state text not null default 'RUNNING'::text,
  reason text not null,
  filter jsonb not null,
  states message_state[],
  causes text[],
  device_ids uuid[],
  flow_no integer,
  since timestamp with time zone,
  until timestamp with time zone not null,
  redrives_below integer not null,
  per_minute integer,
  matching bigint not null,
  whole boolean not null,
  at_created timestamp with time zone not null default '-infinity'::timestamp with time zone,
  at_message uuid not null default '00000000-0000-0000-0000-000000000000'::uuid,
  redriven bigint not null default 0,
  suppressed bigint not null default 0,
  left_out bigint not null default 0,
  next_at timestamp with time zone not null default now(),
  created_at timestamp with time zone not null default now(),
  ended_at timestamp with time zone,
  constraint redrives_pkey PRIMARY KEY (id),
  constraint redrives_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
  constraint redrives_per_minute_check CHECK ((per_minute > 0)),
  constraint redrives_state_check CHECK ((state = ANY (ARRAY['RUNNING'::text, 'DONE'::text, 'CANCELLED'::text])))
) with (fillfactor=70);
CREATE INDEX redrives_ended ON public.redrives USING btree (ended_at) WHERE (ended_at IS NOT NULL);
CREATE INDEX redrives_running ON public.redrives USING btree (next_at) WHERE (state = 'RUNNING'::text);
CREATE INDEX redrives_tenant ON public.redrives USING btree (tenant_id, id DESC);

create table report_causes (
  tenant_id uuid not null,
  about text not null,
  grain integer not null,
  subject text not null,
  start timestamp with time zone not null,
  outcome text not null,
  cause text not null,
  messages integer not null,
  constraint report_causes_pkey PRIMARY KEY (tenant_id, about, grain, subject, start, outcome, cause)
) with (fillfactor=70, autovacuum_vacuum_scale_factor=0.05, autovacuum_vacuum_cost_delay=0);
CREATE INDEX report_causes_old ON public.report_causes USING btree (about, grain, start);

create table report_events (
  no bigint generated always as identity not null,
  at timestamp with time zone not null default clock_timestamp(),
  node text,
  devices uuid[] not null,
  flows integer[] not null,
  was message_state[] not null,
  said message_state[] not null,
  proof smallint[] not null,
  causes text[] not null,
  began timestamp with time zone[] not null,
  accepted timestamp with time zone[] not null,
  variants smallint[],
  constraint report_events_pkey PRIMARY KEY (no)
) with (autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_cost_delay=0);

create table report_steps (
  tenant_id uuid not null,
  about text not null,
  grain integer not null,
  subject text not null,
  start timestamp with time zone not null,
  sent integer not null default 0,
  delivered integer not null default 0,
  read integer not null default 0,
  failed integer not null default 0,
  dead integer not null default 0,
  cancelled integer not null default 0,
  suppressed integer not null default 0,
  retried integer not null default 0,
  taken_back integer not null default 0,
  processing integer[] not null default '{}'::integer[],
  latency integer[] not null default '{}'::integer[],
  constraint report_steps_pkey PRIMARY KEY (tenant_id, about, grain, subject, start),
  constraint report_steps_about_check CHECK ((about = ANY (ARRAY['FLEET'::text, 'DEVICE'::text, 'FLOW'::text, 'NODE'::text]))),
  constraint report_steps_grain_check CHECK ((grain = ANY (ARRAY[60, 3600, 86400])))
) with (fillfactor=70, autovacuum_vacuum_scale_factor=0.05, autovacuum_vacuum_cost_delay=0);
CREATE INDEX report_steps_old ON public.report_steps USING btree (about, grain, start);

create table session_keys (
  device_id uuid not null,
  type text not null,
  id text not null,
  value bytea not null,
  constraint session_keys_pkey PRIMARY KEY (device_id, type, id),
  constraint session_keys_device_id_fkey FOREIGN KEY (device_id) REFERENCES devices(id)
);

create table sessions (
  device_id uuid not null,
  creds bytea not null,
  epoch bigint not null,
  updated_at timestamp with time zone not null default now(),
  constraint sessions_pkey PRIMARY KEY (device_id),
  constraint sessions_device_id_fkey FOREIGN KEY (device_id) REFERENCES devices(id)
);

create table steps (
  flow_no integer not null,
  position smallint not null,
  delay_ms bigint not null,
  template text not null,
  constraint steps_pkey PRIMARY KEY (flow_no, "position"),
  constraint steps_flow_no_fkey FOREIGN KEY (flow_no) REFERENCES flows(no),
  constraint steps_delay_ms_check CHECK ((delay_ms >= 0)),
  constraint steps_position_check CHECK (("position" >= 1))
);

create table suppressions (
  id uuid not null,
  tenant_id uuid not null,
  phone text,
  lid text,
  reason text not null,
  source text not null,
  created_at timestamp with time zone not null default now(),
  hash bytea,
  constraint suppressions_pkey PRIMARY KEY (id),
  constraint suppressions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
  constraint suppressions_check CHECK ((num_nonnulls(phone, lid, hash) > 0))
);
CREATE UNIQUE INDEX suppressions_hash ON public.suppressions USING btree (tenant_id, hash) WHERE (hash IS NOT NULL);
CREATE UNIQUE INDEX suppressions_lid ON public.suppressions USING btree (tenant_id, lid) WHERE (lid IS NOT NULL);
CREATE UNIQUE INDEX suppressions_phone ON public.suppressions USING btree (tenant_id, phone) WHERE (phone IS NOT NULL);

create table tenants (
  id uuid not null,
  name text not null,
  max_backlog bigint not null default 1000000,
  time_zone text not null default 'UTC'::text,
  created_at timestamp with time zone not null default now(),
  default_region text,
  consent_required boolean not null default false,
  stop_words text[] not null default '{}'::text[],
  start_words text[] not null default '{}'::text[],
  recipient_cap integer,
  recipient_days integer,
  flows_per_minute integer,
  constraint tenants_pkey PRIMARY KEY (id),
  constraint tenants_name_key UNIQUE (name),
  constraint tenants_flows_per_minute_check CHECK (((flows_per_minute >= 1) AND (flows_per_minute <= 1000000))),
  constraint tenants_max_backlog_check CHECK ((max_backlog > 0)),
  constraint tenants_recipient_cap CHECK ((num_nulls(recipient_cap, recipient_days) <> 1)),
  constraint tenants_recipient_cap_check CHECK (((recipient_cap >= 1) AND (recipient_cap <= 100))),
  constraint tenants_recipient_days_check CHECK (((recipient_days >= 1) AND (recipient_days <= 90)))
);

create table traffic (
  tenant_id uuid not null,
  bucket timestamp with time zone not null,
  node text not null,
  sent integer not null default 0,
  delivered integer not null default 0,
  failed integer not null default 0,
  constraint traffic_pkey PRIMARY KEY (tenant_id, bucket, node)
);
CREATE INDEX traffic_bucket ON public.traffic USING btree (bucket);

create table traffic_history (
  tenant_id uuid not null,
  grain smallint not null,
  start timestamp with time zone not null,
  node text not null,
  accepted integer not null default 0,
  sent integer not null default 0,
  delivered integer not null default 0,
  failed integer not null default 0,
  processing integer[] not null default '{}'::integer[],
  latency integer[] not null default '{}'::integer[],
  constraint traffic_history_pkey PRIMARY KEY (tenant_id, grain, start, node),
  constraint traffic_history_grain_check CHECK ((grain = ANY (ARRAY[60, 3600])))
) with (fillfactor=60, autovacuum_vacuum_scale_factor=0.05);
CREATE INDEX traffic_history_old ON public.traffic_history USING btree (grain, start);

create table webhook_deliveries (
  no bigint generated always as identity not null,
  webhook_id uuid not null,
  tenant_id uuid not null,
  lane smallint not null,
  type text not null,
  message_id uuid,
  device_id uuid,
  inbound_id text,
  flow_no integer,
  detail jsonb not null default '{}'::jsonb,
  at timestamp with time zone not null,
  state text not null default 'PENDING'::text,
  tries smallint not null default 0,
  status smallint,
  error text,
  ended_at timestamp with time zone,
  constraint webhook_deliveries_pkey PRIMARY KEY (no),
  constraint webhook_deliveries_state_check CHECK ((state = ANY (ARRAY['PENDING'::text, 'DELIVERED'::text, 'DEAD'::text])))
) with (fillfactor=80, autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_cost_delay=0);
CREATE INDEX webhook_deliveries_pending ON public.webhook_deliveries USING btree (webhook_id, lane, no) WHERE (state = 'PENDING'::text);
CREATE INDEX webhook_deliveries_webhook ON public.webhook_deliveries USING btree (webhook_id, no);

create table webhook_devices (
  device_id uuid not null,
  tenant_id uuid not null,
  epoch bigint not null,
  version bigint not null,
  state text not null,
  constraint webhook_devices_pkey PRIMARY KEY (device_id)
) with (fillfactor=70);

create table webhook_lanes (
  webhook_id uuid not null,
  lane smallint not null,
  next_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
  claim uuid,
  failures integer not null default 0,
  constraint webhook_lanes_pkey PRIMARY KEY (webhook_id, lane),
  constraint webhook_lanes_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks(id)
) with (fillfactor=50, autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_cost_delay=0);

create table webhooks (
  id uuid not null,
  tenant_id uuid not null,
  url text not null,
  events text[] not null,
  secret bytea not null,
  disabled_at timestamp with time zone,
  disabled_reason text,
  created_at timestamp with time zone not null default now(),
  batch smallint not null default 1,
  secret_before bytea,
  secret_before_until timestamp with time zone,
  failing_since timestamp with time zone,
  failures integer not null default 0,
  last_error text,
  succeeded_at timestamp with time zone,
  deleted_at timestamp with time zone,
  constraint webhooks_pkey PRIMARY KEY (id),
  constraint webhooks_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
  constraint webhooks_batch_check CHECK (((batch >= 1) AND (batch <= 100)))
);
CREATE INDEX webhooks_on ON public.webhooks USING btree (tenant_id) WHERE ((disabled_at IS NULL) AND (deleted_at IS NULL));
CREATE INDEX webhooks_tenant ON public.webhooks USING btree (tenant_id, id) WHERE (deleted_at IS NULL);
