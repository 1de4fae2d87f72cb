-- How a key becomes what travels, for the keys an administrator makes: HKDF-SHA256 (RFC 5869), as src/crypto/mod.rs has it.

-- HMAC-SHA256 (RFC 2104) with a key of at most 64 bytes.
create function mesh_lib.hmac(key bytea, message bytea) returns bytea
language plpgsql immutable set search_path = '' as $$
declare
  _inner bytea := decode(repeat('36', 64), 'hex');
  _outer bytea := decode(repeat('5c', 64), 'hex');
begin
  for _i in 0..octet_length(hmac.key) - 1 loop
    _inner := set_byte(_inner, _i, get_byte(hmac.key, _i) # 54);
    _outer := set_byte(_outer, _i, get_byte(hmac.key, _i) # 92);
  end loop;
  return sha256(_outer || sha256(_inner || hmac.message));
end
$$;

-- The bearer of a key: extract with an empty salt, expand to one block.
create function mesh_lib.bearer(seed bytea) returns text
language sql immutable set search_path = '' as $$
  select 'mt_' || encode(mesh_lib.hmac(mesh_lib.hmac(''::bytea, bearer.seed), 'mesh/auth/v1'::bytea || '\x01'::bytea), 'hex')
$$;
