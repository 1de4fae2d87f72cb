-- Pools: role:x is the agents somebody put in a pool of that name, or else those whose role is x.

-- The id of a role's pool, made of the mesh and the address: mail can wait for a pool that nobody has made.
create function mesh_lib.pool_id(mesh_id uuid, address text) returns uuid
language sql immutable return md5(pool_id.mesh_id || ' ' || lower(pool_id.address))::uuid;

-- Which of the addresses of a message is this pool's.
create function mesh_lib.pool_address(mesh_id uuid, addresses text, pool_id uuid) returns text
language sql immutable set search_path = '' as $$
  select a from unnest(string_to_array(pool_address.addresses, ',')) a
  where a like 'role:%' and mesh_lib.pool_id(pool_address.mesh_id, a) = pool_address.pool_id
$$;
