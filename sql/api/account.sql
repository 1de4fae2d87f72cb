-- Accounts: people. An account key is all of an account; sees itself and nobody else's.

grant select on mesh_data.account to mesh_agent;
create policy account_select on mesh_data.account for select to mesh_agent
  using (account_id = (select mesh_lib.my_account()));

-- A definer: it tells a ticket and an invite what they are, and those may read nothing.
create function mesh.whoami(
  out kind text, out account text, out mesh text, out mesh_id uuid, out owner text, out agent text, out manage boolean,
  out role text, out launch_prompt text, out display_name text, out key_id uuid, out expires_at timestamptz,
  out agent_id uuid, out mode text, out mode_at timestamptz, out owner_key text
)
language sql stable security definer set search_path = '' as $$
  select me.kind, c.name, m.name, m.mesh_id, o.name, a.name, me.manage, a.role, a.launch_prompt,
    case when me.kind <> 'invite' then coalesce(b.display_name, c.display_name) end, me.key_id, coalesce(k.expires_at, i.expires_at),
    me.agent_id, m.mode, m.mode_at, encode(o.identity_key, 'hex')
  from (select (mesh_lib.me()).*) me
  left join mesh_data.account c on c.account_id = me.account_id
  left join mesh_data.mesh m on m.mesh_id = me.mesh_id
  left join mesh_data.account o on o.account_id = m.owner_account_id
  left join mesh_data.invite i on me.kind = 'invite' and i.invite_id = me.key_id
  left join mesh_data.key k on me.kind <> 'invite' and k.key_id = me.key_id
  left join mesh_data.agent a on a.agent_id = coalesce(me.agent_id, i.agent_id)
  left join mesh_data.member b on b.member_id = a.member_id
$$;
comment on function mesh.whoami is $$---
cli: whoami
who: any
mcp: core
---
Tell who this key is: its account or agent, its mesh, and what it may do.
example: mesh whoami$$;
alter function mesh.whoami() owner to mesh_definer;
grant execute on function mesh.whoami() to mesh_agent;

-- A definer: it makes an account for somebody who is nobody yet.
create function mesh.signup(name mesh.name, secret mesh.new_secret, display_name text default null, out account text, out next text)
language plpgsql volatile security definer set search_path = '' as $$
begin
  if not (select s.signup_open from mesh_data.setting s) then
    perform mesh_lib.fail(403, 'this relay is closed to new accounts: ask its operator for a key', 'mesh login');
  end if;
  signup.account := mesh_lib.checked_name(signup.name, 'an account');
  perform mesh_lib.new_account(signup.account, mesh_lib.checked_text(signup.display_name, 'the display name', 100), 'account', signup.secret);
  signup.next := 'mesh create proj';
end
$$;
comment on function mesh.signup is $$---
who: anyone
mcp: never
---
Make an account for yourself, where the relay allows it.
name: the account's name, unique on this relay.
secret: the account key's verifier and public key; the client makes the key and keeps it.
display_name: how people see you, up to 100 characters; default none.
example: mesh signup alice --relay https://mesh.example.org$$;
alter function mesh.signup(mesh.name, mesh.new_secret, text) owner to mesh_definer;
grant execute on function mesh.signup(mesh.name, mesh.new_secret, text) to mesh_agent;

-- An account and its first key. Called by the definers here and in admin.sql only.
create function mesh_lib.new_account(name text, display_name text, key_kind text, secret jsonb) returns uuid
language plpgsql volatile set search_path = '' as $$
declare
  _account_id uuid;
begin
  insert into mesh_data.account (name, display_name, identity_key)
  values (new_account.name, new_account.display_name,
    case new_account.key_kind when 'account' then decode(new_account.secret ->> 'public_key', 'hex') end)
  on conflict do nothing returning account_id into _account_id;
  if not found then
    perform mesh_lib.fail(409, format('there is an account %L already', new_account.name), '');
  end if;
  insert into mesh_data.key (kind, verifier, public_key, account_id, expires_at)
  values (new_account.key_kind, decode(new_account.secret ->> 'verifier', 'hex'), decode(new_account.secret ->> 'public_key', 'hex'), _account_id,
    case new_account.key_kind when 'ticket' then mesh_lib.now() + interval '7 days' end);
  return _account_id;
end
$$;

-- A definer: a ticket may write nothing but this one exchange.
create function mesh.redeem_ticket(secret mesh.new_secret, out account text, out next text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
begin
  update mesh_data.key k set revoked_at = mesh_lib.now() where k.key_id = _me.key_id and k.revoked_at is null;
  if not found then
    perform mesh_lib.fail(410, 'this one-time key was used already', 'mesh login');
  end if;
  insert into mesh_data.key (kind, verifier, public_key, account_id)
  values ('account', decode(redeem_ticket.secret ->> 'verifier', 'hex'), decode(redeem_ticket.secret ->> 'public_key', 'hex'), _me.account_id);
  update mesh_data.account a set identity_key = decode(redeem_ticket.secret ->> 'public_key', 'hex')
  where a.account_id = _me.account_id returning a.name into redeem_ticket.account;
  -- In a mesh that was given to the account before.
  update mesh_data.agent a set identity_key = decode(redeem_ticket.secret ->> 'public_key', 'hex')
  from mesh_data.member b where b.account_id = _me.account_id and a.member_id = b.member_id and a.kind = 'person' and a.identity_key is null;
  redeem_ticket.next := 'mesh create proj';
end
$$;
comment on function mesh.redeem_ticket is $$---
who: ticket
mcp: never
---
Turn a one-time key made by an administrator into an account key made on your machine.
secret: the new key's verifier and public key; the client makes the key and keeps it.
example: mesh login mc_…$$;
alter function mesh.redeem_ticket(mesh.new_secret) owner to mesh_definer;
grant execute on function mesh.redeem_ticket(mesh.new_secret) to mesh_agent;

-- A definer: deleting takes what hangs on the account with it, which no policy could express row by row.
create function mesh.delete_account(confirm text, out deleted text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
begin
  select a.name into delete_account.deleted from mesh_data.account a where a.account_id = _me.account_id for update;
  if delete_account.confirm <> delete_account.deleted then
    perform mesh_lib.fail(400, 'to delete the account, give its name', 'mesh account delete ' || delete_account.deleted);
  elsif exists (select from mesh_data.mesh m where m.owner_account_id = _me.account_id) then
    perform mesh_lib.fail(409, 'this account owns meshes: delete or transfer them first', 'mesh projects',
      jsonb_build_object('meshes', array(select m.name from mesh_data.mesh m where m.owner_account_id = _me.account_id order by m.name)));
  end if;
  perform mesh_lib.end_member(b.member_id) from mesh_data.member b where b.account_id = _me.account_id and b.revoked_at is null;
  delete from mesh_data.account a where a.account_id = _me.account_id;
  perform mesh_lib.ping();
end
$$;
comment on function mesh.delete_account is $$---
cli: account delete <confirm>
who: account
mcp: never
destructive: yes
---
Delete this account and all its keys. It must own no mesh any more.
confirm: the account's name, to be sure.
example: mesh account delete alice$$;
alter function mesh.delete_account(text) owner to mesh_definer;
grant execute on function mesh.delete_account(text) to mesh_agent;
