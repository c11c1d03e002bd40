-- Every device that is not deleted, for placement.
select d.id, d.partition from devices d where d.deleted_at is null order by d.id
