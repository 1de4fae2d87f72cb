-- Mail that was given back. A recipient that cannot do what a message asks for now releases it: it comes again, and after
-- some attempts it is dead: out of the way, visible to both sides, and either may have it tried again.

grant update (due_at, attempts, reason, delivered_at) on mesh_data.delivery to mesh_agent;

create function mesh.release_messages(message_ids mesh.given_back, retry_after double precision default 0, reason text default null,
  out released bigint, out dead bigint, out already bigint)
language plpgsql volatile set search_path = '' as $$
declare
  _ids constant uuid[] := array(select distinct i from unnest(release_messages.message_ids) i);
  _reason constant text := mesh_lib.checked_text(release_messages.reason, 'the reason', 500);
  _missing uuid[];
begin
  if cardinality(_ids) not between 1 and 1000 then
    perform mesh_lib.fail(400, 'release 1 to 1,000 messages at a time', '');
  elsif coalesce(release_messages.retry_after not between 0 and 86400, true) then
    perform mesh_lib.fail(400, 'retry_after is 0 to 86,400 seconds', '');
  end if;
  -- As claims do: what is taken meanwhile is not given back under its new holder.
  perform mesh_lib.lock_inbox();
  perform from mesh_data.delivery d where d.message_id = any (_ids) and d.agent_id = (select mesh_lib.my_agent()) order by d.message_id for update;
  _missing := array(select i from unnest(_ids) i where not exists (
    select from mesh_data.delivery d where d.message_id = i and d.agent_id = (select mesh_lib.my_agent())));
  if cardinality(_missing) > 0 then
    perform mesh_lib.fail(404, 'some of these messages are not in your inbox', 'mesh inbox', jsonb_build_object('message_ids', _missing));
  end if;
  with given_back as (
    update mesh_data.delivery d
    set state = case when d.attempts + 1 >= mesh_lib.max_attempts() then 'dead' else 'queued' end,
      settled_at = case when d.attempts + 1 >= mesh_lib.max_attempts() then mesh_lib.now() end,
      attempts = d.attempts + 1, reason = coalesce(_reason, d.reason), claim_id = null, claimant_id = null, delivered_at = null,
      due_at = mesh_lib.now() + make_interval(secs => release_messages.retry_after)
    where d.message_id = any (_ids) and d.agent_id = (select mesh_lib.my_agent()) and d.state in ('queued', 'delivered')
    returning d.state
  )
  select count(*) filter (where g.state = 'queued'), count(*) filter (where g.state = 'dead'), cardinality(_ids) - count(*)
  into release_messages.released, release_messages.dead, release_messages.already from given_back g;
  if release_messages.released > 0 then
    perform mesh_lib.ping();
  end if;
end
$$;
comment on function mesh.release_messages is $$---
cli: release <message_ids>
group: messages
who: agent
---
Give messages back that you cannot handle now: they come again. The fifth time a message is dead: kept for you and its sender to see and retry.
message_ids: ids of messages in your inbox, 1 to 1,000; what is settled counts as already.
retry_after: seconds until they come again, 0 to 86,400; default at once.
reason: why, up to 500 characters; their senders see it. Default none.
example: mesh release 019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f --retry-after 60 --reason "the build is broken"$$;
grant execute on function mesh.release_messages(mesh.given_back, double precision, text) to mesh_agent;

create function mesh.list_dead_messages("limit" integer default 50) returns table (
  message_id uuid, "from" text, agent text, message text, attempts smallint, reason text, dead_at timestamptz, envelope mesh.envelope
)
language plpgsql stable set search_path = '' as $$
begin
  if list_dead_messages."limit" not between 1 and 1000 then
    perform mesh_lib.fail(400, 'limit is 1 to 1,000', '');
  end if;
  return query
    select d.message_id, s.name, r.name, coalesce(m.body, m.notice), d.attempts, d.reason, d.settled_at, mesh_lib.envelope_for(m, mesh_lib.my_agent())
    from mesh_data.delivery d
    join mesh_data.message m on m.message_id = d.message_id
    join mesh_data.agent s on s.agent_id = d.sender_agent_id
    left join mesh_data.agent r on r.agent_id = d.agent_id
    where d.state = 'dead' and (d.agent_id = (select mesh_lib.my_agent()) or d.sender_agent_id = (select mesh_lib.my_agent()))
    order by d.settled_at desc, d.message_id, 3 limit list_dead_messages."limit";
end
$$;
comment on function mesh.list_dead_messages is $$---
cli: dead list
group: messages
alias: dead
who: agent
columns: message_id from agent attempts reason dead_at message
---
List dead messages to you and from you, the latest first: given back too often, and waiting for somebody to retry them.
limit: how many at most, 1 to 1,000; default 50.
example: mesh dead list$$;
grant execute on function mesh.list_dead_messages(integer) to mesh_agent;

-- A definer: a sender may have others try again, whose deliveries it may only read.
create function mesh.retry_message(inout message_id uuid, agent text default null, out agents text[])
language plpgsql volatile security definer set search_path = '' as $$
declare
  _me constant uuid := mesh_lib.my_agent();
  _agent_id constant uuid := case when retry_message.agent is not null then (mesh_lib.agent_named(retry_message.agent)).agent_id end;
begin
  if not exists (select from mesh_data.delivery d where d.message_id = retry_message.message_id and _me in (d.agent_id, d.sender_agent_id)) then
    perform mesh_lib.fail(404, 'there is no such message, or you are no party to it', 'mesh dead list');
  end if;
  perform from mesh_data.delivery d where d.message_id = retry_message.message_id and d.state = 'dead' order by d.agent_id for update;
  with retried as (
    update mesh_data.delivery d
    set state = 'queued', settled_at = null, delivered_at = null, attempts = 0, due_at = mesh_lib.now()
    where d.message_id = retry_message.message_id and d.state = 'dead' and (_agent_id is null or d.agent_id = _agent_id)
      and coalesce(d.expires_at > mesh_lib.now(), true)
      and (d.agent_id = _me or d.sender_agent_id = _me and not exists (
        select from mesh_data.block b where b.agent_id = d.agent_id and b.blocked_agent_id = _me))
    returning d.agent_id
  )
  select array_agg(a.name order by a.name) into retry_message.agents from retried r join mesh_data.agent a on a.agent_id = r.agent_id;
  if retry_message.agents is null then
    perform mesh_lib.fail(409, 'nobody to whom this message went can be asked to try it again', 'mesh message status ' || retry_message.message_id);
  end if;
  perform mesh_lib.ping();
end
$$;
comment on function mesh.retry_message is $$---
cli: dead retry <message_id>
who: agent
---
Have a dead message tried again, at once and with all its attempts before it: by its recipient, or by its sender.
message_id: the id of the message.
agent: of several recipients only this one; default all for whom it is dead.
example: mesh dead retry 019a0a6e-5f3b-7c1d-9e2f-3a4b5c6d7e8f$$;
alter function mesh.retry_message(uuid, text) owner to mesh_definer;
grant execute on function mesh.retry_message(uuid, text) to mesh_agent;
