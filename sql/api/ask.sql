-- Ask: a message and its answers, in one call. The relay runs it again at each wake until it has an answer; what is sent is
-- sent by the first run. Nothing is claimed before the run that answers, so a call that is given up leaves nothing behind:
-- its message is sent, and late answers are mail like any other.

create function mesh.ask_agent("to" mesh.addresses, message mesh.sealed, timeout mesh.awaited default 50, priority text default null,
  request_id mesh.request_id default null, seen mesh.seen default null,
  out message_id uuid, out answers mesh.frames, out waiting_for text[], out unread bigint, out claim uuid, out pending boolean, out next text)
language plpgsql volatile set search_path = '' as $$
declare
  _letter constant mesh_lib.letter := mesh_lib.letter(mesh_lib.me(), mesh_lib.addresses(ask_agent."to"), ask_agent.message,
    mesh_lib.priority(ask_agent.priority), key => 'ask ' || ask_agent.request_id);
  _earlier constant mesh_data.idempotency := mesh_lib.sent_as(_letter.key);
  _asked uuid := _earlier.message_id;
  -- Without a request_id the next run would ask again.
  _waits constant boolean := ask_agent.timeout > 0 and ask_agent.request_id is not null;
  _recipients json;
  _open uuid[];
begin
  if _asked is null then
    -- Only the first run settles: a later one would settle what this very call claimed.
    perform mesh_lib.settle(ask_agent.seen);
    -- One's presence is locked after one's inbox, and before the pool of a role, as by who arrives or edits that pool.
    if _waits then
      perform mesh_lib.begin_wait(ask_agent.timeout);
    else
      perform mesh_lib.end_wait();
    end if;
    select s.message_id, s.recipients into _asked, _recipients from mesh_lib.send_one(_letter) s;
    if json_array_length(_recipients) = 0 then
      perform mesh_lib.fail(404, 'there is nobody to ask: this address means nobody but you', 'mesh peers');
    elsif not exists (select from json_array_elements(_recipients) r where r ->> 'state' <> 'skipped') then
      perform mesh_lib.fail_pending(_recipients #>> '{0,agent}');
    end if;
  elsif _earlier.body_hash <> mesh_lib.letter_hash(_letter) then
    perform mesh_lib.fail(409, 'this request_id was used for another question', '', jsonb_build_object('message_id', _asked));
  end if;

  ask_agent.waiting_for := mesh_lib.unanswered(_asked);
  if _waits and cardinality(ask_agent.waiting_for) > 0 then
    ask_agent.waiting_for := null;
    perform mesh_lib.begin_wait(ask_agent.timeout);
    return;
  end if;
  select coalesce(json_agg(mesh_lib.frame(m, d.box) order by d.position), '[]'), array_agg(d.message_id) filter (where d.state in ('queued', 'delivered'))
  into ask_agent.answers, _open
  from mesh_data.message m join mesh_data.delivery d on d.message_id = m.message_id and d.agent_id = (select mesh_lib.my_agent())
  where m.reply_to = _asked;
  if _open is not null then
    perform mesh_lib.lock_inbox();
    ask_agent.claim := gen_random_uuid();
    perform mesh_lib.claim(cardinality(_open), ask_agent.claim, among => _open);
  end if;
  perform mesh_lib.end_wait();
  ask_agent.message_id := _asked;
  ask_agent.unread := mesh_lib.unread();
  ask_agent.pending := cardinality(ask_agent.waiting_for) > 0;
  ask_agent.next := case when ask_agent.pending then 'mesh wait --thread ' || _asked end;
end
$$;
comment on function mesh.ask_agent is $$---
cli: ask <to> <message>
who: agent
mcp: core
columns: answers waiting_for
---
Ask somebody and wait for the answer. Of several who are asked, it waits for all, and gives what has come when the time is out. `pending` true means that answers are missing: they arrive in your inbox, and `next` waits for them.
to: one address, or several with commas between: an agent's name, @group, role:x, #room, or * for everybody else.
message: the question, 1 to 65,536 bytes.
timeout: seconds to wait, 0 to 55; default 50.
priority: now (shown at once), next (when the recipient is not working) or low (when it is idle or asks); default next.
request_id: names this call, so that it asks once however often it is run; the client fills it in.
seen: the claims of the answers that arrived; the client fills it in.
example: mesh ask designer "which blue is the header?"
example: mesh ask '*' "may I deploy?" --timeout 30$$;
grant execute on function mesh.ask_agent(mesh.addresses, mesh.sealed, mesh.awaited, text, mesh.request_id, mesh.seen) to mesh_agent;

-- Who has not answered a message of the caller's, and still may.
create function mesh_lib.unanswered(message_id uuid) returns text[]
language sql stable set search_path = '' as $$
  select array(
    select coalesce(a.name, mesh_lib.pool_address(d.mesh_id, m.address, d.agent_id)) as name
    from mesh_data.delivery d
    join mesh_data.message m on m.message_id = d.message_id
    left join mesh_data.agent a on a.agent_id = d.agent_id
    where d.message_id = unanswered.message_id and d.state not in ('expired', 'dead')
      and not exists (select from mesh_data.message r where r.reply_to = unanswered.message_id and r.sender_agent_id = d.agent_id)
    order by 1)
$$;
