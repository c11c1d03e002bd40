-- Every device that is not deleted, for placement, with the node it is to be on if somebody said so (moveDevice).
select d.id, d.partition, d.settings ->> 'node' as pin from devices d where d.deleted_at is null order by d.id
