-- Partitions and retention: months are made ahead, dropped when they are old, and nothing unacknowledged is lost.
begin;
\ir helpers.psql
select no_plan();
select t.world();

create function t.maintain() returns jsonb language sql volatile as $$ select t.attempt('mesh_admin', 'select to_jsonb(m) from mesh.maintain() m')::jsonb $$;
create function t.partitions(parent text) returns text language sql stable as $$
  select string_agg(to_char(m at time zone 'UTC', 'YYYY-MM'), ' ' order by m) from mesh_lib.partition_months(parent) m $$;
create function t.bodies() returns text language sql stable as $$ select string_agg(m.body, ' ' order by m.message_id) from mesh_data.message m $$;

-- The coming months
select t.maintain();
select ok(t.maintain() @> '{"created": 0, "dropped": 0, "busy": false}', 'once they are made there is nothing to do');
select t.pass(mesh_lib.month_of(now() + interval '400 days') + interval '3 days' - now());
select ok(t.maintain() @> '{"created": 3, "busy": false}', 'in a year the month is missing in three tables, and made');
select is(t.maintain() ->> 'created', '0', 'once');
select t.pass(mesh_lib.month_of(now() + interval '400 days') + interval '27 days' - now());
select is(t.maintain() ->> 'created', '3', 'in its last week that of the next is made');
select is_empty($$select p from unnest(array['message', 'delivery', 'event']) p, generate_series(0, 1) n
  where to_regclass('mesh_data.' || mesh_lib.partition_name(p, mesh_lib.month_of(mesh_lib.month_of(mesh_lib.now()) + make_interval(days => 40 * n)))) is null$$, 'both have partitions');
select t.send('designer', 'commander', 'in a year') as sent \gset
select is((select tableoid::regclass::text from mesh_data.message where message_id = :'sent'), 'mesh_data.' || mesh_lib.partition_name('message', mesh_lib.now()), 'a message goes to the partition of its month');
select is((select tableoid::regclass::text from mesh_data.delivery where message_id = :'sent'), 'mesh_data.' || mesh_lib.partition_name('delivery', mesh_lib.now()), 'and so does its delivery');
select is_empty($$select c.relname from pg_class c where c.relnamespace = 'mesh_data'::regnamespace and c.relispartition and c.relkind = 'r' and not (c.relrowsecurity and c.relforcerowsecurity)$$,
  'new partitions have row-level security, forced');
select is_empty($$select c.relname, x.grantee::regrole from pg_class c, aclexplode(c.relacl) x where c.relnamespace = 'mesh_data'::regnamespace and c.relispartition
  and x.grantee not in ('mesh_owner'::regrole, 'mesh_definer'::regrole)$$, 'and are reached through their parent only');
select is((select count(*) from pg_inherits i where i.inhparent = 'mesh_data.delivery_open'::regclass), (select count(*) from pg_inherits i where i.inhparent = 'mesh_data.delivery'::regclass),
  'each partition has the indexes of its parent');
select is((select count(distinct (select count(*) from pg_constraint k where k.conrelid = i.inhrelid)) from pg_inherits i where i.inhparent = 'mesh_data.message'::regclass), 1::bigint, 'and its constraints');
select is_empty($$select a.attname from pg_attribute a where a.attrelid = 'mesh_data.message'::regclass and a.attnum > 0 and a.attnotnull and not a.attisdropped
  except select a.attname from pg_attribute a where a.attrelid = to_regclass('mesh_data.' || mesh_lib.partition_name('message', mesh_lib.now())) and a.attnotnull$$, 'and what may not be null there');

-- Nobody made partitions in time: the default one took the mail, and gives it to the month made later
select t.pass('800 days');
select t.send('designer', 'commander', 'late') as late \gset
select t.send('designer', 'backend', 'later') as later \gset
select is((select tableoid::regclass::text from mesh_data.message where message_id = :'late'), 'mesh_data.message_default', 'without a partition the default one takes the mail');
select t.attempt('mesh_admin', 'select mesh.set_limits(retention_days => 0)');
select ok(t.maintain() @> '{"dropped": 0, "busy": false}', 'with retention_days 0 nothing is dropped');
select is((select string_agg(distinct tableoid::regclass::text, ' ') from mesh_data.message where message_id in (:'late', :'later')), 'mesh_data.' || mesh_lib.partition_name('message', mesh_lib.now()), 'a partition made later has what the default one took');
select is(t.take('commander', '{"peek": true}'), 'in a year late', 'and its recipient finds it where it was');

-- Retention
select t.does('commander', 'ack_messages', jsonb_build_object('message_ids', array[:'sent']));
select t.send('designer', 'commander', 'dead') as dead \gset
select t.does('commander', 'release_messages', jsonb_build_object('message_ids', array[:'dead'], 'reason', 'no')) from generate_series(1, 5);
select t.send('designer', '*', 'some') as some \gset
select t.does('backend', 'ack_messages', jsonb_build_object('message_ids', array[:'some']));
select t.send('designer', 'commander', 'done') as done \gset
select t.does('commander', 'ack_messages', jsonb_build_object('message_ids', array[:'done']));
select t.attempt('mesh_admin', 'select mesh.set_limits(retention_days => 90)');
select t.pass('860 days');
select t.maintain();
select ok(t.bodies() like '%done%', 'after sixty of ninety days all of it is there');
select is((select count(*) from mesh_data.message where message_id = :'sent'), 0::bigint, 'but what was acknowledged a year ago');
select t.pass('930 days');
select t.maintain() as maintained \gset
select ok(:'maintained'::jsonb @> '{"busy": false}' and (:'maintained'::jsonb ->> 'dropped')::integer > 0, 'after 130 days the month is dropped');
select is(t.bodies(), 'late later dead some', 'what was acknowledged by all is gone, the rest is there');
select is((select string_agg(distinct tableoid::regclass::text, ' ') from mesh_data.message), 'mesh_data.message_default', 'in the default partition');
select is((select count(*) from mesh_data.delivery where message_id = :'some'), 4::bigint, 'who acknowledged needs it no more, the four others do');
select is((select state from mesh_data.delivery where message_id = :'dead'), 'dead', 'a dead one is still dead');
select is(t.take('commander', '{"peek": true}'), 'late some', 'unacknowledged mail is in its inbox');
select is((select string_agg(m ->> 'message', ' ') from jsonb_array_elements(t.does('designer', 'list_dead_messages')) m), 'dead', 'and the dead on its list');
select is(to_regclass('mesh_data.' || mesh_lib.partition_name('message', mesh_lib.now() - interval '130 days')), null, 'its partitions are no more');
select is((select count(*) from mesh_data.event), 0::bigint, 'nor its events');
select t.does('commander', 'retry_message', jsonb_build_object('message_id', :'dead'));
select is(t.take('commander'), 'late dead some', 'a dead one of old can be retried');
select t.take('commander'), t.take('backend'), t.take('backend'), t.does('alice', 'ack_messages', jsonb_build_object('message_ids', array[:'some']), 'proj');
select t.does('carol', 'ack_messages', jsonb_build_object('message_ids', array[:'some']), 'alice/proj');
update mesh_data.delivery set state = 'acknowledged' where agent_id = (select agent_id from mesh_data.agent where name = 'tester');
select t.maintain();
select is(t.bodies(), null, 'once acknowledged it goes with the next run');

-- What else is forgotten
select t.pass('931 days');
select t.send('designer', 'backend', 'keyed', '{"key": "k"}');
update mesh_data.idempotency set created_at = mesh_lib.now() - interval '6 days';
select t.maintain();
select is((select count(*) from mesh_data.idempotency), 1::bigint, 'a key of idempotency is kept for seven days');
update mesh_data.idempotency set created_at = mesh_lib.now() - interval '8 days';
select t.pass('934 days');
select t.maintain();
select is((select count(*) from mesh_data.idempotency), 0::bigint, 'and then forgotten');
select is((select count(*) from mesh_data.sent), 0::bigint, 'so are counts of messages of another day');
select is((select count(*) from mesh_data.turn), 0::bigint, 'and turns of who has been silent for a day');

-- Who may
select is(t.attempt(r, 'select mesh.maintain()'), '42501', r || ' does not maintain') from unnest(array['mesh_relay', 'mesh_worker', 'mesh_agent']) r;
select is(t.attempt(r, 'select mesh_lib.' || f), '42501', r || ' does not call ' || f) from unnest(array['mesh_relay', 'mesh_worker', 'mesh_agent', 'mesh_admin']) r,
  unnest(array['maintain()', 'drop_month(mesh_lib.now())', 'drop_partition(''message'', mesh_lib.now())', 'detach_partition(''message'', mesh_lib.now())', 'forget(mesh_lib.now())']) f;
select is(t.attempt(r, 'select mesh_lib.maintain_hourly()'), '42501', r || ' does not call maintain_hourly') from unnest(array['mesh_worker', 'mesh_agent', 'mesh_admin']) r;
select is(t.attempt('mesh_definer', 'select mesh_lib.drop_partition(''message'', mesh_lib.now())'), 'ME409', 'a partition in use is not dropped');

-- Hourly
select mesh_lib.maintain_hourly();
select is((select maintained_at is not null from mesh_data.setting), true, 'when it was done is written down');
select t.pass('938 days');
update mesh_data.setting set maintained_at = mesh_lib.now() - interval '59 minutes' returning maintained_at as before \gset
select mesh_lib.maintain_hourly();
select is((select maintained_at from mesh_data.setting), :'before'::timestamptz, 'within the hour it is not done again');
update mesh_data.setting set maintained_at = mesh_lib.now() - interval '61 minutes';
select mesh_lib.maintain_hourly();
select ok((select maintained_at > :'before'::timestamptz from mesh_data.setting), 'after it, it is');

update mesh_data.setting set maintained_at = mesh_lib.now() - interval '2 hours';
select t.attempt('mesh_relay', 'select mesh_lib.maintain_hourly()');
select ok((select maintained_at > mesh_lib.now() - interval '1 minute' from mesh_data.setting), 'a relay may ask for it');

select finish();
rollback;
