-- While the provider wants no new chats from a device, only these people are written to: who wrote to it, or got something from it. Made when the pause
-- begins, gone when it ends.
create table acquaintances (
  device_id uuid not null references devices (id),
  -- E.164
  phone text not null,
  primary key (device_id, phone)
);
