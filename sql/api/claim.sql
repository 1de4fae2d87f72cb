-- Claims: who is editing what. An advisory lock on paths of the repository that all machines of a mesh work on: nothing is
-- held but by agents asking first. Everybody in the mesh sees all of them.

grant select on mesh_data.claim to mesh_agent;
grant insert (claim_id, mesh_id, agent_id, patterns, globs, exclusive, reason, token, claimed_at, expires_at),
  update (reason, expires_at, released_at) on mesh_data.claim to mesh_agent;
grant usage on sequence mesh_data.claim_token to mesh_agent;
create policy claim_select on mesh_data.claim for select to mesh_agent
  using (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));
create policy claim_insert on mesh_data.claim for insert to mesh_agent
  with check (agent_id = (select mesh_lib.my_agent()) and mesh_id = (select mesh_lib.my_mesh()));
create policy claim_update on mesh_data.claim for update to mesh_agent
  using (agent_id = (select mesh_lib.my_agent()) or mesh_id = any ((select mesh_lib.managed_meshes())::uuid[]))
  with check (mesh_id = any ((select mesh_lib.my_meshes())::uuid[]));

-- The claims of a mesh that are in force now.
create function mesh_lib.claims_in_force(mesh_id uuid) returns setof mesh_data.claim
language sql stable set search_path = '' as $$
  select c.* from mesh_data.claim c join mesh_data.agent a on a.agent_id = c.agent_id and a.removed_at is null
  where c.mesh_id = claims_in_force.mesh_id and c.released_at is null and c.expires_at > mesh_lib.now()
$$;

-- Claims are judged one after the other, as of now.
create function mesh_lib.lock_claims() returns void
language sql volatile set search_path = '' as $$ select pg_advisory_xact_lock(hashtextextended('claims ' || mesh_lib.my_mesh(), 0)) $$;

create function mesh_lib.check_ttl(ttl integer) returns void
language plpgsql stable set search_path = '' as $$
begin
  if coalesce(check_ttl.ttl not between 10 and 86400, true) then
    perform mesh_lib.fail(400, 'ttl is 10 to 86,400 seconds', '');
  end if;
end
$$;

-- Those of the claims of others in force that do not go with one of these globs.
create function mesh_lib.claims_against(globs text[], exclusive boolean) returns setof mesh_data.claim
language sql stable set search_path = '' as $$
  select c.* from mesh_lib.claims_in_force(mesh_lib.my_mesh()) c
  where c.agent_id <> (select mesh_lib.my_agent()) and (c.exclusive or claims_against.exclusive) and mesh_lib.any_meet(c.globs, claims_against.globs)
$$;

-- Whether some glob of one list meets one of the other.
create function mesh_lib.any_meet(a text[], b text[]) returns boolean
language sql immutable set search_path = '' as $$
  select exists (
    select from (select x.glob, mesh_lib.glob_beginning(x.glob) as beginning from unnest(any_meet.a) x (glob) offset 0) x
    join (select y.glob, mesh_lib.glob_beginning(y.glob) as beginning from unnest(any_meet.b) y (glob) offset 0) y
      on (starts_with(x.beginning, y.beginning) or starts_with(y.beginning, x.beginning)) and mesh_lib.globs_meet(x.glob, y.glob))
$$;

-- ME409 with the claims that are in the way: who, why, until when.
create function mesh_lib.fail_claimed(claims uuid[]) returns void
language plpgsql stable set search_path = '' as $$
declare
  _claims constant jsonb := (
    select jsonb_agg(jsonb_build_object('claim_id', c.claim_id, 'agent', a.name, 'patterns', c.patterns, 'exclusive', c.exclusive, 'reason', c.reason,
      'claimed_at', c.claimed_at, 'expires_at', c.expires_at) order by c.token)
    from mesh_data.claim c join mesh_data.agent a on a.agent_id = c.agent_id where c.claim_id = any (fail_claimed.claims));
begin
  perform mesh_lib.fail(409, format('%s has %s until %s UTC: %s%s', _claims #>> '{0,agent}',
      left(array_to_string(array(select jsonb_array_elements_text(_claims #> '{0,patterns}')), ' '), 200),
      to_char((_claims #>> '{0,expires_at}')::timestamptz at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), _claims #>> '{0,reason}',
      case when jsonb_array_length(_claims) > 1 then format(' (and %s more)', jsonb_array_length(_claims) - 1) else '' end),
    'mesh claim list', jsonb_build_object('claims', _claims));
end
$$;

create function mesh.claim_paths(inout patterns text[], inout reason text, ttl integer default 1800, inout exclusive boolean default true,
  out claim_id uuid, out token bigint, out expires_at timestamptz, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _me constant mesh_lib.identity := mesh_lib.me();
  _reason constant text := mesh_lib.checked_text(claim_paths.reason, 'the reason', 500);
  _patterns constant text[] := array(
    select mesh_lib.checked_text(p.pattern, 'a pattern', 300) from unnest(mesh_lib.rejoined(claim_paths.patterns)) with ordinality p (pattern, n) order by p.n);
  _globs text[];
  _claim mesh_data.claim;
  _renewed boolean;
  _against uuid[];
begin
  perform mesh_lib.check_ttl(claim_paths.ttl);
  if _reason is null then
    perform mesh_lib.fail(400, 'say what for: others read it who want the same', 'mesh claim --help');
  elsif cardinality(_patterns) = 0 or array_position(_patterns, null) is not null then
    perform mesh_lib.fail(400, 'say which paths: . is all of the repository', 'mesh claim --help');
  elsif cardinality(_patterns) > 50 then
    perform mesh_lib.fail(413, 'a claim has at most 50 patterns: claim the folder, and quote wildcards, which a shell writes out', 'mesh claim --help');
  end if;
  _globs := mesh_lib.globs(_patterns);
  perform mesh_lib.lock_claims();
  select c.* into _claim from mesh_lib.claims_in_force(_me.mesh_id) c
  where c.agent_id = _me.agent_id and c.globs = _globs and c.exclusive = coalesce(claim_paths.exclusive, true) order by c.token desc limit 1;
  _renewed := found;
  _against := array(select c.claim_id from mesh_lib.claims_against(_globs, coalesce(claim_paths.exclusive, true)) c order by c.token limit 100);
  if cardinality(_against) > 0 then
    perform mesh_lib.fail_claimed(_against);
  elsif _renewed then
    update mesh_data.claim c set reason = _reason, expires_at = mesh_lib.now() + make_interval(secs => claim_paths.ttl)
    where c.claim_id = _claim.claim_id returning c.* into _claim;
  else
    perform mesh_lib.check_claim_count(cardinality(_globs));
    insert into mesh_data.claim as c (claim_id, mesh_id, agent_id, patterns, globs, exclusive, reason, token, claimed_at, expires_at)
    values (mesh_lib.new_id(), _me.mesh_id, _me.agent_id, _patterns, _globs, coalesce(claim_paths.exclusive, true), _reason, nextval('mesh_data.claim_token'),
      mesh_lib.now(), mesh_lib.now() + make_interval(secs => claim_paths.ttl))
    returning c.* into _claim;
  end if;
  claim_paths.patterns := _claim.patterns;
  claim_paths.reason := _claim.reason;
  claim_paths.exclusive := _claim.exclusive;
  claim_paths.claim_id := _claim.claim_id;
  claim_paths.token := _claim.token;
  claim_paths.expires_at := _claim.expires_at;
  claim_paths.next := 'mesh claim release ' || _claim.claim_id;
end
$$;
comment on function mesh.claim_paths is $$---
cli: claim <patterns>
alias: claim add, claim paths
who: agent
---
Claim paths of the repository before you edit them: nobody else in the mesh gets a claim on them meanwhile, on whatever machine.
All of them are had, or none. It holds up nobody who does not ask. The same claim made again is the same claim, renewed.
patterns: 1 to 50 paths from the root of the repository: src/lib.rs, a folder with all below it (src), or with * ? [abc] {a,b} within a part and ** for any folders.
reason: what for, up to 500 characters; who wants the same reads it.
ttl: seconds until it ends by itself, 10 to 86,400; default half an hour.
exclusive: false shares it with others who share, as for reading; default true.
example: mesh claim src/header 'styles/*.css' --reason "porting the header"
example: mesh claim docs --no-exclusive --reason "reading for the tutorial"$$;
grant execute on function mesh.claim_paths(text[], text, integer, boolean) to mesh_agent;

-- ME429 when so many globs more are too many.
create function mesh_lib.check_claim_count(more integer) returns void
language plpgsql stable set search_path = '' as $$
declare
  _mine bigint; _all bigint;
begin
  select count(*) filter (where c.agent_id = (select mesh_lib.my_agent())), sum(cardinality(c.globs)) into _mine, _all
  from mesh_lib.claims_in_force(mesh_lib.my_mesh()) c;
  if _mine >= 100 then
    perform mesh_lib.fail(429, 'an agent can have 100 claims in force at most', 'mesh claim list');
  elsif _all + check_claim_count.more > 2000 then
    perform mesh_lib.fail(429, 'the claims in force in a mesh can have 2,000 patterns at most', 'mesh claim list');
  end if;
end
$$;

create function mesh.renew_claim(inout claim_id uuid, ttl integer default 1800, out token bigint, out expires_at timestamptz)
language plpgsql volatile set search_path = '' as $$
declare
  _claim mesh_data.claim;
begin
  perform mesh_lib.check_ttl(renew_claim.ttl);
  perform mesh_lib.lock_claims();
  _claim := mesh_lib.claim_to_end(renew_claim.claim_id);
  if _claim.agent_id <> mesh_lib.my_agent() then
    perform mesh_lib.fail(403, 'only who made a claim renews it', 'mesh claim list');
  elsif _claim.released_at is not null or _claim.expires_at <= mesh_lib.now()
    -- It ended while this call waited, and another was sooner.
    or exists (select from mesh_lib.claims_against(_claim.globs, _claim.exclusive)) then
    perform mesh_lib.fail(410, 'this claim is over: claim the paths again', 'mesh claim --help');
  end if;
  update mesh_data.claim c set expires_at = mesh_lib.now() + make_interval(secs => renew_claim.ttl)
  where c.claim_id = _claim.claim_id returning c.token, c.expires_at into renew_claim.token, renew_claim.expires_at;
end
$$;
comment on function mesh.renew_claim is $$---
cli: claim renew <claim_id>
who: agent
---
Renew a claim of yours before it ends: it keeps its token, and ends so many seconds from now.
claim_id: the id that claim_paths gave.
ttl: seconds until it ends by itself, 10 to 86,400; default half an hour.
example: mesh claim renew 019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f$$;
grant execute on function mesh.renew_claim(uuid, integer) to mesh_agent;

-- A claim of the caller's mesh, or ME404.
create function mesh_lib.claim_to_end(claim_id uuid) returns mesh_data.claim
language plpgsql stable set search_path = '' as $$
declare
  _claim mesh_data.claim;
begin
  select c.* into _claim from mesh_data.claim c where c.claim_id = claim_to_end.claim_id and c.mesh_id = (select mesh_lib.my_mesh());
  if not found then
    perform mesh_lib.fail(404, 'there is no such claim', 'mesh claim list');
  end if;
  return _claim;
end
$$;

create function mesh.release_claim(inout claim_id uuid, out patterns text[], out released_at timestamptz)
language plpgsql volatile set search_path = '' as $$
declare
  _claim mesh_data.claim;
begin
  perform mesh_lib.lock_claims();
  _claim := mesh_lib.claim_to_end(release_claim.claim_id);
  if _claim.agent_id <> mesh_lib.my_agent() and not coalesce(mesh_lib.my_mesh() = any (mesh_lib.managed_meshes()), false) then
    perform mesh_lib.fail(403, 'only who made a claim releases it, or who may manage the mesh', 'mesh claim list');
  end if;
  update mesh_data.claim c set released_at = least(mesh_lib.now(), c.expires_at) where c.claim_id = _claim.claim_id and c.released_at is null;
  select c.patterns, c.released_at into release_claim.patterns, release_claim.released_at from mesh_data.claim c where c.claim_id = _claim.claim_id;
end
$$;
comment on function mesh.release_claim is $$---
cli: claim release <claim_id>
who: agent
---
Release a claim of yours, so that others may claim its paths.
A key that may manage releases anybody's. Repeating it is harmless.
claim_id: the id that claim_paths gave.
example: mesh claim release 019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f$$;
grant execute on function mesh.release_claim(uuid) to mesh_agent;

-- The claims in force that are wanted, in order.
create function mesh_lib.claims_to_list(path text, holder text, at_most integer, after uuid) returns setof mesh_data.claim
language plpgsql stable set search_path = '' as $$
declare
  _mesh constant uuid := mesh_lib.my_mesh();
  _globs constant text[] := case when claims_to_list.path is not null then
    mesh_lib.globs(array[coalesce(mesh_lib.checked_text(claims_to_list.path, 'the path', 300), '.')]) end;
  _holder constant uuid := case when claims_to_list.holder is not null then mesh_lib.agent_id_of(_mesh, lower(btrim(claims_to_list.holder))) end;
  _after constant bigint := case when claims_to_list.after is not null then (mesh_lib.claim_to_end(claims_to_list.after)).token end;
begin
  if claims_to_list.at_most not between 1 and 1000 then
    perform mesh_lib.fail(400, 'limit is 1 to 1,000', '');
  end if;
  return query
    select c.* from mesh_lib.claims_in_force(_mesh) c
    where (_holder is null or c.agent_id = _holder) and (_after is null or c.token > _after) and (_globs is null or mesh_lib.any_meet(c.globs, _globs))
    order by c.token limit claims_to_list.at_most;
end
$$;

create function mesh.list_claims(path text default null, agent text default null, "limit" integer default 50, after uuid default null)
returns table (claim_id uuid, agent text, patterns text[], exclusive boolean, reason text, claimed_at timestamptz, expires_at timestamptz, token bigint)
language sql stable set search_path = '' as $$
  select c.claim_id, a.name, c.patterns, c.exclusive, c.reason, c.claimed_at, c.expires_at, c.token
  from mesh_lib.claims_to_list(list_claims.path, list_claims.agent, list_claims."limit", list_claims.after) c
  join mesh_data.agent a on a.agent_id = c.agent_id
  order by c.token
$$;
comment on function mesh.list_claims is $$---
cli: claim list <mesh>
alias: claims
who: agent
columns: claim_id agent patterns exclusive reason expires_at token
---
List the claims on paths that are in force, the oldest first.
Of two claims on one path the later has the greater token: what is written under it tells an old claim from a new one.
path: only claims that have a path in common with this path or pattern; default all.
agent: only claims of this agent; default of all.
limit: how many at most, 1 to 1,000; default 50.
after: the claim_id of the last one seen: only later claims; default from the first.
example: mesh claim list
example: mesh claim list --path src/header$$;
grant execute on function mesh.list_claims(text, text, integer, uuid) to mesh_agent;
