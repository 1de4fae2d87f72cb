-- Signed calls. The relay has checked that the signature is good and covers this very call; here is checked who signed.

-- Refuse a signature that is not by this key, for this mesh, and made now. Clocks may differ by five minutes.
create function mesh_lib.check_signer(signed mesh.signed, expected bytea, whose text) returns void
language plpgsql stable set search_path = '' as $$
declare
  _document constant jsonb := (check_signer.signed ->> 'document')::jsonb;
  _signed_at constant timestamptz := (_document ->> 'signed_at')::timestamptz;
begin
  if check_signer.expected is null or decode(check_signer.signed ->> 'signer', 'hex') <> check_signer.expected then
    perform mesh_lib.fail(403, 'this must be signed by ' || check_signer.whose, '');
  elsif _document ->> 'mesh' is distinct from mesh_lib.my_mesh()::text then
    perform mesh_lib.fail(400, 'this was signed for another mesh: a signed call names its mesh by id', '');
  elsif abs(extract(epoch from mesh_lib.now() - _signed_at)) > 300 then
    perform mesh_lib.fail(400, format('this was signed at %s, more than 5 minutes from the server''s clock: is your clock right?', _signed_at), 'mesh doctor');
  end if;
end
$$;
