-- Every lead. Result: number and phone.
select l.no as lead, l.phone from leads l
