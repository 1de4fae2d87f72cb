-- Who is calling. Sign-in writes a transaction-local setting, signed with a secret only mesh_definer can read; me()
-- verifies it and is its only reader. The signature covers backend, transaction and the ordinal of the call, so a copy
-- kept from another call, transaction or backend is worth nothing. Everything that policies use is in this file.

create type mesh_lib.identity as (
  kind text, key_id uuid, account_id uuid, mesh_id uuid, agent_id uuid, session_id uuid, manage boolean
);
comment on type mesh_lib.identity is
  'kind: account, agent, ticket, invite or anyone. account_id only for account keys and tickets. key_id of an invite is the invite''s id.';

-- HMAC of an identity, in this backend, transaction and call. A keyed hash in a keyed hash (NMAC), so no pads.
create function mesh_lib.signature(identity text) returns text
language sql stable security definer set search_path = '' as $$
  select encode(sha256(s.identity_secret || sha256('mesh'::bytea || s.identity_secret || convert_to(
    concat_ws(' ', pg_backend_pid(), extract(epoch from transaction_timestamp()), currval('mesh_data.call_ordinal'), signature.identity), 'UTF8'))), 'hex')
  from mesh_data.setting s
$$;
alter function mesh_lib.signature(text) owner to mesh_definer;
revoke execute on function mesh_lib.signature(text) from public;

create function mesh_lib.me() returns mesh_lib.identity
language plpgsql stable security definer set search_path = '' as $$
declare
  _setting constant text := current_setting('mesh.identity', true);
begin
  if coalesce(_setting, '') = '' then
    return null;
  elsif left(_setting, 64) = mesh_lib.signature(substr(_setting, 65)) then
    return substr(_setting, 65)::mesh_lib.identity;
  end if;
  return null;
end
$$;
comment on function mesh_lib.me() is 'The verified identity of the caller, or null.';
alter function mesh_lib.me() owner to mesh_definer;

create function mesh_lib.my_agent() returns uuid
language sql stable set search_path = '' as $$ select (mesh_lib.me()).agent_id $$;

create function mesh_lib.my_mesh() returns uuid
language sql stable set search_path = '' as $$ select (mesh_lib.me()).mesh_id $$;

create function mesh_lib.my_account() returns uuid
language sql stable set search_path = '' as $$ select (mesh_lib.me()).account_id $$;

-- The meshes a caller can see: a scoped key its one, an account those it owns or is a member of.
create function mesh_lib.my_meshes() returns uuid[]
language plpgsql stable security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
begin
  if _me.kind = 'agent' then
    return array[_me.mesh_id];
  elsif _me.kind = 'account' then
    return array(select m.mesh_id from mesh_data.member m where m.account_id = _me.account_id and m.revoked_at is null);
  end if;
  return '{}'::uuid[];
end
$$;
alter function mesh_lib.my_meshes() owner to mesh_definer;

-- The meshes whose credentials and membership the caller decides about: an account key's own.
create function mesh_lib.owned_meshes() returns uuid[]
language plpgsql stable security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
begin
  if _me.kind = 'account' then
    return array(select m.mesh_id from mesh_data.mesh m where m.owner_account_id = _me.account_id);
  end if;
  return '{}'::uuid[];
end
$$;
alter function mesh_lib.owned_meshes() owner to mesh_definer;

-- The meshes whose agents the caller may make and edit: its own, and that of a key with `manage`.
create function mesh_lib.managed_meshes() returns uuid[]
language plpgsql stable security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
begin
  if _me.kind = 'agent' and _me.manage then
    return array[_me.mesh_id];
  end if;
  return mesh_lib.owned_meshes();
end
$$;
alter function mesh_lib.managed_meshes() owner to mesh_definer;
