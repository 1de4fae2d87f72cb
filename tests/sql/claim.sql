-- Claims on paths, and the globs they are made of.
begin;
\ir helpers.psql
select no_plan();

-- What a pattern means
select is(mesh_lib.globs(array[g.pattern]), g.globs, format('%s is %s', g.pattern, array_to_string(g.globs, ' '))) from (values
  ('src', array['src/**']), ('src/', array['src/**']), ('./src//lib.rs', array['src/lib.rs/**']), ('src/**', array['src/**']), ('src/**/**/x', array['src/**/x/**']),
  ('*.sql', array['*.sql']), ('*/', array['*/**']), ('.', array['**']), ('./', array['**']), ('**', array['**']), ('a***', array['a***']), ('***', array['**']),
  ('docs/{a,b}.md', array['docs/a.md/**', 'docs/b.md/**']), ('{a,b}{c,d}', array['ac/**', 'ad/**', 'bc/**', 'bd/**']), ('{a,{b,c}}', array['a/**', 'b/**', 'c/**']), ('{a,}b', array['ab/**', 'b/**']),
  ('{a}', array['{a}/**']), ('a{', array['a{/**']), ('\{a,b\}', array['\{a,b\}/**']), ('{src,docs/}*', array['docs/*', 'src*']),
  ('[ab]x', array['[ab]x', '\[ab\]x/**']), ('app/[id]/page.tsx', array['app/[id]/page.tsx/**', 'app/\[id\]/page.tsx/**']), ('[', array['[/**']), ('a]', array['a]/**']), ('\*', array['\*/**']),
  ('Src', array['Src/**']), ('größe', array['größe/**']), (U&'o\0308', array['ö/**'])) g (pattern, globs);
select is(mesh_lib.rejoined(array['docs/{a', 'b}.md', 'x', '{', 'y']), array['docs/{a,b}.md', 'x', '{,y'], 'what a command line took apart is put together again');

-- Which globs meet
create function t.meet(a text, b text) returns boolean language sql as $$ select mesh_lib.any_meet(mesh_lib.globs(array[a]), mesh_lib.globs(array[b])) $$;
select is(t.meet(case o when 1 then m.a else m.b end, case o when 1 then m.b else m.a end), m.meet,
  format('%s and %s %s%s', m.a, m.b, case when m.meet then 'meet' else 'do not meet' end, case o when 2 then ', in either order' end))
from (values
  ('src', 'src/lib.rs', true), ('src', 'src2/lib.rs', false), ('src/**', 'src', true), ('src/**/x', 'src/x', true), ('src/*', 'src/a/b', false), ('src/*', 'src/a/*', false), ('src/*.rs', 'src/*.sql', false),
  ('src/*.rs', 'src/l*', true), ('*.sql', 'a/b.sql', false), ('**/*.sql', 'a/b.sql', true), ('.', 'anything/at/all', true), ('a?c', 'abc', true), ('a?c', 'ac', false), ('a?c', 'a/c', false),
  ('[a-c]x', 'bx', true), ('[a-c]x', 'dx', false), ('[!a-c]x', 'bx', false), ('[!a-c]x', 'dx', true), ('[a-c]', '[c-e]', true), ('[a-c]', '[d-f]', false), ('[a-c]', '[!a-c]', true), ('[a-', 'a', false),
  ('app/[id]/x', 'app/[id]/x', true), ('app/[id]/x', 'app/\[id\]/x', true), ('app/[id]/x', 'app/i/x', true), ('app/[id]/x', 'app/[slug]/x', false), ('app/[...slug]', 'app/*', true),
  ('Src', 'src', false), ('a*b*c', 'abc', true), ('a*b*c', 'ac', false), ('*a', 'a*', true), ('*a*', 'b*b', true), ('\*', 'a', false), ('\*', '*', true), ('docs/{a,b}.md', 'docs/b.md', true), ('docs/{a,b}.md', 'docs/c.md', false),
  ('src/**/test/**', 'src/a/*/*.rs', true), ('a.c', 'abc', false), ('a+', 'aa', false), ('a/**/b/**/c', 'a/c', true), ('a/**/b/**/c', 'a/c*', false), ('größe/*', 'gr?ße/x', true)) m (a, b, meet), generate_series(1, 2) o;

-- Over all patterns of some parts: a pair meets when, and only when, one of many paths is meant by both. What a pattern means
-- is here said once more, by a regular expression.
create function t.expression(pattern text) returns text language sql immutable as $$
  select '^' || replace(replace(replace(replace(replace(replace(replace(regexp_replace(replace(
    regexp_replace('/' || pattern || case when pattern ~ '[*?[][^/]*$' then '' else '/**' end, '(/\*\*)+', '/**', 'g'),
    '{a,b}', '[ab]'), '/\[ab\]b$', '/([ab]b|B(/SPS)Z)'), '[ab]b/', '([ab]b|B)/'), '/**/', '/(SPS/)Z'), '/**', '(/SPS)Z'), '?', '[^/]'), '*', '[^/]Z'), 'SPS', '[^/]+'), 'Z', '*') || '$'
$$;
create table t.pattern as
select p.pattern, mesh_lib.globs(array[p.pattern]) as globs, replace(t.expression(p.pattern), 'B', '\[ab\]b') as expression from (
  select distinct array_to_string(array_remove(array[a, b, c], ''), '/') as pattern
  from unnest(array['a', 'ab', 'a*', '*b', '?b', '[ab]b', '**', '{a,b}']) a, unnest(array['', 'a', 'ab', '*', 'a*', '*b', '[ab]b', '**', '{a,b}']) b, unnest(array['', 'a', '*', '*b', '?b', '**']) c
  where b <> '' or c = '') p
order by p.pattern ~ '/.*/', md5(p.pattern) limit 110;
create table t.sample as
with recursive path (path, parts) as (
  select p, 1 from unnest(array['a', 'b', 'ab', 'bb', 'c', 'aab', '[ab]b']) p union all select path || '/' || p, parts + 1 from path, unnest(array['a', 'b', 'ab', 'bb', 'c', 'aab', '[ab]b']) p where parts < 4)
select path from path union all select path || '/bb/a' from path where parts = 3;
create table t.hit as select p.pattern, s.path from t.pattern p join t.sample s on '/' || s.path ~ p.expression;
create table t.pair as select a.pattern as a, b.pattern as b, mesh_lib.any_meet(a.globs, b.globs) as meet from t.pattern a, t.pattern b;
create table t.witness as select distinct x.pattern as a, y.pattern as b from t.hit x join t.hit y on y.path = x.path;
select cmp_ok((select count(*) from t.pair where meet), '>', 5000::bigint, 'many pairs meet');
select cmp_ok((select count(*) from t.pair where not meet), '>', 5000::bigint, 'and many do not');
select is_empty($$select p.a, p.b from t.pair p join t.pair q on q.a = p.b and q.b = p.a where p.meet <> q.meet$$, 'meeting is symmetric');
select is_empty($$select w.a, w.b from t.witness w join t.pair p using (a, b) where not p.meet$$, 'patterns that mean one path meet');
select is_empty($$select p.a, p.b from t.pair p where p.meet and not exists (select from t.witness w where w.a = p.a and w.b = p.b)$$, 'patterns that meet mean one path');
select is_empty($$select s.path, p.pattern from t.sample s join t.pattern p on mesh_lib.any_meet(mesh_lib.globs(array[s.path]), p.globs)
  where length(s.path) < 4 and not exists (select from t.hit h where h.pattern = p.pattern and (h.path = s.path or h.path like s.path || '/%'))$$, 'a path meets the patterns that mean it, or something below it');

-- Claiming
select t.world();
create function t.claim(who text, patterns text[], extra jsonb default '{}', mesh text default null) returns jsonb language sql volatile as $$
  select t.call(who, 'claim_paths', jsonb_build_object('patterns', patterns, 'reason', 'work of ' || who) || extra, mesh) -> 'answer'
$$;
create function t.claims(who text, arguments jsonb default '{}') returns text language sql volatile as $$
  select string_agg(format('%s:%s', c ->> 'agent', array_to_string(array(select jsonb_array_elements_text(c -> 'patterns')), '+')), ' ' order by (c ->> 'token')::bigint)
  from jsonb_array_elements(t.does(who, 'list_claims', arguments)) c
$$;
select t.claim('backend', array['src/**', 'Cargo.toml']) as mine \gset
select ok(:'mine'::jsonb @> '{"patterns": ["src/**", "Cargo.toml"], "exclusive": true, "reason": "work of backend"}', 'a claim says what it is');
select ok((:'mine'::jsonb ->> 'expires_at')::timestamptz between now() + interval '29 minutes' and clock_timestamp() + interval '30 minutes', 'it ends in half an hour');
select is(:'mine'::jsonb ->> 'next', 'mesh claim release ' || (:'mine'::jsonb ->> 'claim_id'), 'who claims is told how to release');
select t.call('designer', 'claim_paths', '{"patterns": ["docs", "src/lib.rs"], "reason": "mine"}') as refused \gset
select t.is_refusal(:'refused', 409, 'what another has is refused, and with it all of the claim');
select ok(:'refused'::jsonb #>> '{answer,message}' ~ '^backend has src/\*\* Cargo.toml until \d{4}-.* UTC: work of backend$', 'who, what, until when and why: ' || (:'refused'::jsonb #>> '{answer,message}'));
select ok(:'refused'::jsonb #> '{answer,data,claims,0}' @> (:'mine'::jsonb - '{token,next}'::text[] || '{"agent": "backend"}'), 'and so for programs');
select is(t.claims('designer'), 'backend:src/**+Cargo.toml', 'of a claim that is refused nothing is kept');
select is(t.claim('designer', array['docs', 'src2']) ->> 'code', null, 'what is free is had');
select is(t.claim('backend', array['src/lib.rs']) ->> 'code', null, 'one''s own claims are not in the way');
select is(t.claim('designer', array['Cargo.toml'], '{"exclusive": false}') ->> 'code', 'ME409', 'nor is what is exclusive shared');
select is(t.claim('commander', array['tests'], '{"exclusive": false}') ->> 'code', null, 'what is shared');
select is(t.claim('designer', array['tests/sql'], '{"exclusive": false}') ->> 'code', null, 'is shared by several');
select is(t.claim('backend', array['tests/sql/run']) ->> 'code', 'ME409', 'and not had alone by another');
select ok(t.call('backend', 'claim_paths', '{"patterns": ["tests/sql/run"], "reason": "x"}') #>> '{answer,message}' like '%(and 1 more)', 'who hears of all in the way');
select is(t.claim('carol', array['carols'], '{}', 'alice/proj') ->> 'code', null, 'a member with an account claims');
select is(t.claim('scout', array['src/**']) ->> 'code', null, 'what another mesh has is in nobody''s way');

-- Again
select t.claim('backend', array['./Cargo.toml', 'src'], '{"ttl": 7200, "reason": "still at it"}') as again \gset
select ok(:'again'::jsonb @> jsonb_build_object('claim_id', :'mine'::jsonb -> 'claim_id', 'token', :'mine'::jsonb -> 'token', 'reason', 'still at it'), 'the same claim again is the same, however it is written');
select cmp_ok((:'again'::jsonb ->> 'expires_at')::timestamptz, '>', now() + interval '1 hour', 'and is renewed');
select isnt(t.claim('backend', array['Cargo.toml', 'src'], '{"exclusive": false}') ->> 'claim_id', :'mine'::jsonb ->> 'claim_id', 'a shared one is another');
select ok((select bool_and(x.token > x.before) from (select c.token, lag(c.token) over (order by c.claimed_at, c.claim_id) as before from mesh_data.claim c) x where x.before is not null), 'tokens grow');

-- Listing
select is(t.claims('designer', '{"agent": "backend", "path": "src/lib.rs"}'), 'backend:src/**+Cargo.toml backend:src/lib.rs backend:Cargo.toml+src', 'of an agent, on a path');
select is(t.claims('designer', '{"path": "**/run"}'), 'backend:src/**+Cargo.toml designer:docs+src2 backend:src/lib.rs commander:tests designer:tests/sql carol:carols backend:Cargo.toml+src', 'on a pattern');
select is(t.claims('designer', '{"path": "nothing"}'), null, 'or nothing');
select is(t.claims('designer', '{"limit": 2}'), 'backend:src/**+Cargo.toml designer:docs+src2', 'the first');
select is(t.claims('designer', jsonb_build_object('limit', 2, 'after', t.does('designer', 'list_claims', '{"limit": 2}') -> 1 -> 'claim_id')), 'backend:src/lib.rs commander:tests', 'and those after them');
select is(t.claims('visitor'), 'scout:src/**', 'a guest of another mesh sees its own');
select t.refuses('a cursor of another mesh', 404, 'visitor', 'list_claims', jsonb_build_object('after', :'mine'::jsonb -> 'claim_id'));
select t.refuses('a limit of 0', 400, 'designer', 'list_claims', '{"limit": 0}');
select t.refuses('a limit of 1,001', 400, 'designer', 'list_claims', '{"limit": 1001}');
select t.refuses('an agent nobody is', 404, 'designer', 'list_claims', '{"agent": "nobody"}');
select t.refuses('a path outside', 400, 'designer', 'list_claims', '{"path": "../x"}');

-- Renewing and releasing
select jsonb_build_object('claim_id', :'mine'::jsonb -> 'claim_id') as id \gset
select t.refuses('renewing what another has', 403, 'commander', 'renew_claim', :'id');
select t.refuses('renewing what another mesh has', 404, 'scout', 'renew_claim', :'id');
select t.refuses('renewing for too long', 400, 'backend', 'renew_claim', :'id'::jsonb || '{"ttl": 86401}');
select ok(t.does('backend', 'renew_claim', :'id'::jsonb || '{"ttl": 60}') @> jsonb_build_object('token', :'mine'::jsonb -> 'token'), 'a renewed claim keeps its token');
select t.refuses('releasing what another has', 403, 'designer', 'release_claim', :'id');
select t.refuses('releasing what another mesh has', 404, 'scout', 'release_claim', :'id');
select is(t.does('backend', 'release_claim', :'id') -> 'patterns', '["src/**", "Cargo.toml"]', 'a claim is released');
select is(t.does('backend', 'release_claim', :'id') -> 'patterns', '["src/**", "Cargo.toml"]', 'twice without harm');
select t.refuses('renewing what was released', 410, 'backend', 'renew_claim', :'id');
select is(t.claim('designer', array['src/main.rs'], '{"exclusive": false}') ->> 'code', null, 'then others may have it');
select t.works('who may manage releases anybody''s', 'commander', 'release_claim', jsonb_build_object('claim_id', t.does('backend', 'list_claims', '{"path": "src/lib.rs"}') #> '{0,claim_id}'));
select t.works('so does the owner', 'alice', 'release_claim', jsonb_build_object('claim_id', t.does('backend', 'list_claims', '{"path": "carols"}') #> '{0,claim_id}'), 'proj');
select t.refuses('a plain guest does not', 403, 'designer', 'release_claim', jsonb_build_object('claim_id', t.does('backend', 'list_claims', '{"agent": "commander"}') #> '{0,claim_id}'));

-- The end
select t.claim('backend', array['short'], '{"ttl": 60}') as short \gset
select t.pass('59 seconds');
select is(t.claim('designer', array['short']) ->> 'code', 'ME409', 'to its last second a claim holds');
select t.pass('61 seconds');
select t.refuses('renewing what is over', 410, 'backend', 'renew_claim', jsonb_build_object('claim_id', :'short'::jsonb -> 'claim_id'));
select is(t.claims('designer', '{"path": "short"}'), null, 'then it is over');
select t.claim('designer', array['short'], '{"ttl": 86400}') as shorter \gset
select cmp_ok((:'shorter'::jsonb ->> 'token')::bigint, '>', (:'short'::jsonb ->> 'token')::bigint, 'who has it next has a greater token');
select is(t.claim('backend', array['short']) ->> 'code', 'ME409', 'and who had it does not get it back');
select is((t.does('backend', 'release_claim', jsonb_build_object('claim_id', :'short'::jsonb -> 'claim_id')) ->> 'released_at')::timestamptz, (:'short'::jsonb ->> 'expires_at')::timestamptz, 'releasing what was over changes nothing');
select t.does('alice', 'remove_agent', '{"agent": "designer"}', 'proj');
select is(t.claim('backend', array['short', 'tests']) ->> 'code', 'ME409', 'the claims of an agent that was removed are over, those of others are not');
select is(t.claim('backend', array['short']) ->> 'code', null, 'so its paths are free');
select t.pass('9 days');
select t.attempt('mesh_relay', 'select mesh_lib.tick()');
select is((select count(*) from mesh_data.claim c where c.expires_at < mesh_lib.now()), 0::bigint, 'after a week a claim that is over is forgotten');

-- What is refused
select t.refuses(b.fact, b.status, 'backend', 'claim_paths', '{"patterns": ["x"], "reason": "x"}' || b.arguments::jsonb) from (values
  ('nothing', 400, '{"patterns": []}'), ('an empty pattern', 400, '{"patterns": [""]}'), ('blanks', 400, '{"patterns": ["x", " "]}'), ('an absolute path', 400, '{"patterns": ["/etc"]}'), ('a home', 400, '{"patterns": ["~/x"]}'),
  ('a drive', 400, '{"patterns": ["C:/x"]}'), ('a way out', 400, '{"patterns": ["src/../../x"]}'), ('a way out in braces', 400, '{"patterns": ["{a,..}/x"]}'), ('a backslash', 400, '{"patterns": ["src\\lib"]}'),
  ('two lines', 400, '{"patterns": ["a\nb"]}'), ('a control character', 400, '{"patterns": ["a\u0007"]}'), ('no reason', 400, '{"reason": " "}'), ('a span that is too short', 400, '{"ttl": 9}'), ('one that is too long', 400, '{"ttl": 86401}'),
  ('a long reason', 413, jsonb_build_object('reason', repeat('x', 501))::text), ('a long pattern', 413, jsonb_build_object('patterns', array[repeat('x', 301)])::text),
  ('51 patterns', 413, jsonb_build_object('patterns', array(select 'x' || n from generate_series(1, 51) n))::text), ('too many alternatives', 413, '{"patterns": ["{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"]}'),
  ('too many brackets', 413, '{"patterns": ["[a][a][a][a][a][a][a]"]}'), ('a text for patterns', 400, '{"patterns": "x"}'), ('null in the patterns', 400, '{"patterns": ["x", null]}'), ('a word for a span', 400, '{"ttl": "long"}')) b (fact, status, arguments);
select t.claim('backend', array['many/' || n]) from generate_series(1, 100) n;
select is(count(*), 100::bigint, 'an agent can have 100 claims') from mesh_lib.claims_in_force((select mesh_id from mesh_data.mesh where name = 'proj')) c join mesh_data.agent a using (agent_id) where a.name = 'backend';
select t.refuses('the 101st claim', 429, 'backend', 'claim_paths', '{"patterns": ["x"], "reason": "x"}');
select is(t.claim('backend', array['many/1']) ->> 'code', null, 'one that is there already is renewed');
select t.claim('commander', array(select format('wide%s/%s/{1,2}', i, n) from generate_series(1, 50) n)) from generate_series(1, 19) i;
select t.refuses('more than 2,000 patterns', 429, 'commander', 'claim_paths', jsonb_build_object('reason', 'x', 'patterns', array(select format('wide20/%s/{1,2}', n) from generate_series(1, 50) n)));

select finish();
rollback;
