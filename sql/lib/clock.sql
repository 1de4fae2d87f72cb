-- The clock and what is made from it. Tests replace mesh_lib.now() inside a transaction.

-- When the statement began: for all calls of a batch the same. The clock itself would be read by a call of its own for
-- each row, since Postgres inlines nothing volatile.
create function mesh_lib.now() returns timestamptz
language sql stable return statement_timestamp();

-- A UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, version, 12 bits of the millisecond's fraction, variant, 30 bits
-- of a counter, 32 random bits. So ids of one session sort in the order they were made, also within a statement.
create function mesh_lib.new_id() returns uuid
language sql volatile return encode(
    substring(int8send(floor(extract(epoch from mesh_lib.now()) * 1000)::bigint) from 3)
    || substring(int8send(28672 + floor(extract(epoch from mesh_lib.now()) * 1000 % 1 * 4096)::bigint) from 7)
    || substring(int8send(2147483648 + nextval('mesh_data.id_counter') % 1073741824) from 5)
    || substring(uuid_send(gen_random_uuid()) from 13), 'hex')::uuid;
comment on function mesh_lib.new_id() is 'A new id that sorts by time.';
