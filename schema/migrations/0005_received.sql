-- What is kept for a time only is found by its time.
create index inbound_messages_received on inbound_messages (received_at);
