-- Sign-in: a bearer becomes an identity. The dispatch signs in for one call; set functions identify the caller of each row.

-- What gets its holder a good key in place of this one: a guest has no account to sign in with.
create function mesh_lib.key_again(key_id uuid) returns text
stable return coalesce((
  select case when b.account_id is null then 'mesh join' when b.kind = 'owner' then 'mesh setup ' || a.name end
  from mesh_data.key k
  join mesh_data.member b on b.member_id = k.member_id
  join mesh_data.agent a on a.agent_id = k.agent_id
  where k.key_id = key_again.key_id), 'mesh login');

-- Who a bearer is; ME401, ME404, ME409 or ME410 when it is nobody here.
create function mesh_lib.identify(token text, mesh text, session text) returns mesh_lib.identity
language plpgsql stable security definer set search_path = '' as $$
declare
  _verifier constant bytea := sha256(convert_to(identify.token, 'UTF8'));
  _key mesh_data.key;
  _invite mesh_data.invite;
  _me mesh_lib.identity;
begin
  if identify.token is null then
    _me.kind := 'anyone';
  else
    select * into _key from mesh_data.key k where k.verifier = _verifier;
    if found then
      if _key.revoked_at is not null and _key.kind = 'ticket' then
        perform mesh_lib.fail(410, 'this one-time key was used already', 'mesh login');
      elsif _key.revoked_at is not null then
        perform mesh_lib.fail(401, 'this key was revoked', mesh_lib.key_again(_key.key_id));
      elsif _key.expires_at <= mesh_lib.now() then
        perform mesh_lib.fail(401, 'this key has expired', mesh_lib.key_again(_key.key_id));
      end if;
      _me := (_key.kind, _key.key_id, case when _key.kind <> 'agent' then _key.account_id end,
              _key.mesh_id, _key.agent_id, null, _key.manage);
    else
      select * into _invite from mesh_data.invite i where i.verifier = _verifier;
      if not found then
        perform mesh_lib.fail(401, 'this key is not known here', 'mesh login');
      elsif _invite.revoked_at is not null then
        perform mesh_lib.fail(410, 'this invite was revoked', '');
      elsif _invite.expires_at <= mesh_lib.now() then
        perform mesh_lib.fail(410, 'this invite has expired', '');
      end if;
      _me := ('invite', _invite.invite_id, null, _invite.mesh_id, null, null, false);
    end if;
    if _me.kind = 'account' then
      _me := mesh_lib.in_mesh(_me, identify.mesh);
    elsif identify.mesh is not null then
      if not exists (
        select from mesh_data.mesh m join mesh_data.account a on a.account_id = m.owner_account_id
        where m.mesh_id = _me.mesh_id and lower(identify.mesh) in (m.mesh_id::text, m.name, a.name || '/' || m.name)
      ) then
        perform mesh_lib.fail(404, 'there is no mesh ' || quote_literal(identify.mesh), '');
      end if;
    end if;
    if identify.session is not null then
      select s.session_id into _me.session_id from mesh_data.session s
      where s.session_id::text = identify.session and s.agent_id = _me.agent_id and s.key_id = _me.key_id and s.ended_at is null;
      if not found then
        perform mesh_lib.fail(409, 'this session has ended: the agent runs in another window, or the session was closed', '');
      end if;
    end if;
  end if;
  return _me;
end
$$;
alter function mesh_lib.identify(text, text, text) owner to mesh_definer;

-- Sign in for the rest of this call: what me() will say.
create function mesh_lib.sign_in(token text, mesh text, session text) returns mesh_lib.identity
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me mesh_lib.identity;
begin
  perform nextval('mesh_data.call_ordinal');
  perform set_config('mesh.identity', '', true);
  _me := mesh_lib.identify(sign_in.token, sign_in.mesh, sign_in.session);
  perform set_config('mesh.identity', mesh_lib.signature(_me::text) || _me::text, true);
  return _me;
end
$$;
alter function mesh_lib.sign_in(text, text, text) owner to mesh_definer;
revoke execute on function mesh_lib.sign_in(text, text, text) from public;
grant execute on function mesh_lib.sign_in(text, text, text) to mesh_agent;

-- An account acts in the mesh it names (name, owner/name or id), or in its only one; there it is its own person agent.
create function mesh_lib.in_mesh(me mesh_lib.identity, mesh text) returns mesh_lib.identity
language plpgsql stable security definer set search_path = '' as $$
declare
  _found uuid[];
  _mine text[];
begin
  select array_agg(m.mesh_id) filter (where in_mesh.mesh is null or lower(in_mesh.mesh) in (m.mesh_id::text, m.name, a.name || '/' || m.name)),
    array_agg(case when m.owner_account_id = in_mesh.me.account_id then m.name else a.name || '/' || m.name end order by m.name)
  into _found, _mine
  from mesh_data.member b
  join mesh_data.mesh m on m.mesh_id = b.mesh_id
  join mesh_data.account a on a.account_id = m.owner_account_id
  where b.account_id = in_mesh.me.account_id and b.revoked_at is null;
  if in_mesh.mesh is not null and _found is null then
    perform mesh_lib.fail(404, 'there is no mesh ' || quote_literal(in_mesh.mesh), 'mesh projects',
      jsonb_build_object('asked', in_mesh.mesh, 'candidates', coalesce(_mine, '{}')));
  end if;
  -- Of several meshes with this name the account's own one is meant.
  if cardinality(_found) > 1 and in_mesh.mesh is not null then
    _found := array(select m.mesh_id from mesh_data.mesh m where m.mesh_id = any (_found) and m.owner_account_id = in_mesh.me.account_id);
    if cardinality(_found) = 0 then
      perform mesh_lib.fail(409, 'there are several meshes ' || quote_literal(in_mesh.mesh) || '; name the owner too', 'mesh projects',
        jsonb_build_object('candidates', _mine));
    end if;
  end if;
  if cardinality(_found) = 1 then
    in_mesh.me.mesh_id := _found[1];
    select g.agent_id into in_mesh.me.agent_id
    from mesh_data.member b join mesh_data.agent g on g.member_id = b.member_id and g.removed_at is null
    where b.mesh_id = _found[1] and b.account_id = in_mesh.me.account_id and b.revoked_at is null
    order by g.kind = 'person' desc, g.created_at limit 1;
    in_mesh.me.manage := exists (select from mesh_data.mesh m where m.mesh_id = _found[1] and m.owner_account_id = in_mesh.me.account_id);
  end if;
  return in_mesh.me;
end
$$;
alter function mesh_lib.in_mesh(mesh_lib.identity, text) owner to mesh_definer;
revoke execute on function mesh_lib.in_mesh(mesh_lib.identity, text) from public;
