-- The ledger's clock, unix ms.
select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now
