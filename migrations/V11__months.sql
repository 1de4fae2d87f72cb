-- Every look into a queue asks every partition: those of the months after this one are made when they are near.

set local role mesh_owner;

do $$
declare
  _partition record;
  _empty boolean;
begin
  for _partition in
    select c.relname from pg_catalog.pg_class c join pg_catalog.pg_inherits i on i.inhrelid = c.oid
    where c.relnamespace = 'mesh_data'::regnamespace
      and substring(c.relname from '_(\d{4}_\d{2})$') > to_char(now() at time zone 'UTC' + interval '7 days', 'YYYY_MM')
  loop
    -- Row-level security hides every row, also from the owner, while it is forced.
    execute format('alter table mesh_data.%I no force row level security', _partition.relname);
    execute format('select not exists (select from mesh_data.%I)', _partition.relname) into _empty;
    if _empty then
      execute format('drop table mesh_data.%I', _partition.relname);
    else
      execute format('alter table mesh_data.%I force row level security', _partition.relname);
    end if;
  end loop;
end
$$;
