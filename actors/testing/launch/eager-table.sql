-- A ledger as it would be with every message made up front: the same columns and the same indexes as the one that is used.
create unlogged table eager_messages (like messages including defaults including indexes including storage)
