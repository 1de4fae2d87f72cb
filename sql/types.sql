-- The schemas of code, and the types that tell clients and relays what to do with an argument or a result.
-- Each type has two faces: the wire's (its base type), and what an agent sees, which the catalogue says.

create schema if not exists mesh;
create schema if not exists mesh_lib;

create domain mesh.awaited as integer constraint timeout_is_0_to_55_seconds check (value between 0 and 55);
comment on domain mesh.awaited is 'Seconds to wait, 0 to 55. The relay runs the function again at each wake until its result is not null; when the time is out, once more with 0.';

create domain mesh.new_secret as jsonb constraint new_secret_has_verifier_and_public_key
  check (value ->> 'verifier' ~ '^[0-9a-f]{64}$' and value ->> 'public_key' ~ '^[0-9a-f]{64}$');
comment on domain mesh.new_secret is 'A secret the client makes and keeps: {"verifier","public_key"}, each 64 hex digits, travel.';

create domain mesh.signed as jsonb constraint signed_has_document_signer_and_signature
  check (jsonb_typeof(value -> 'document') = 'string' and value ->> 'signer' ~ '^[0-9a-f]{64}$' and value ->> 'signature' ~ '^[0-9a-f]{128}$');
comment on domain mesh.signed is 'The client''s ed25519 signature over the call: {"document","signer","signature"}. The relay checks it; whoever reads it later checks it again.';

create domain mesh.chain as jsonb constraint chain_is_a_list check (jsonb_typeof(value) = 'array');
comment on domain mesh.chain is 'Signed calls from the owner to an agent, each by the key the one before introduced. Clients verify it.';

create domain mesh.seen as uuid[];
comment on domain mesh.seen is 'The claims of the answers the caller has in hand, and the id of all zeros while others of its calls are under way; the client fills it in, so a lost answer loses no mail.';

create domain mesh.given_back as uuid[];
comment on domain mesh.given_back is 'Ids of messages that the caller had and gives back: they may come again, and its client takes no replay of them for one.';

create domain mesh.request_id as uuid;
comment on domain mesh.request_id is 'Names one call, however often it is run: what it sends, it sends once. The client fills it in, or else the relay.';

create domain mesh.request_key as text;
comment on domain mesh.request_key is 'A word for this call, 1 to 200 characters: made again with it, the call does nothing twice. A client may make one up.';

create domain mesh.value as jsonb;
comment on domain mesh.value is 'Any JSON; null is a value, too. On a command line what is no JSON is a text.';

create domain mesh.public_key as text constraint public_key_is_64_hex_digits check (value ~ '^[0-9a-f]{64}$');
comment on domain mesh.public_key is 'An ed25519 public key, 64 lower-case hex digits.';

create domain mesh.name as text constraint name_is_1_to_63_characters check (length(value) between 1 and 63);
comment on domain mesh.name is 'A name: 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit; upper case is folded; not only hex of 8 or more digits, not "all".';

create domain mesh.addresses as jsonb constraint to_is_a_text_or_a_list_of_texts check (
  jsonb_typeof(value) = 'string' or jsonb_typeof(value) = 'array' and not jsonb_path_exists(value, 'strict $[*] ? (@.type() != "string")'));
comment on domain mesh.addresses is 'One or several addresses: a text with commas between them, or a JSON array of texts.';

create domain mesh.sealed as jsonb constraint the_message_is_a_text_or_an_envelope check (jsonb_typeof(value) in ('string', 'object'));
comment on domain mesh.sealed is 'Text for others: itself in an open mesh; in a sealed one an envelope, which the client makes (docs/protocol.md).';

create domain mesh.sealed_data as jsonb;
comment on domain mesh.sealed_data is 'JSON beside a sealed text. In a sealed mesh it travels inside the envelope, and this argument is left out.';

create domain mesh.envelope as json;
comment on domain mesh.envelope is 'What a sealed message holds, with the reader''s own box: {"v","document","signer","signature","attestation","sealed","box"}. The client opens it into the row it stands in.';

create domain mesh.boxes as jsonb constraint boxes_are_an_object check (jsonb_typeof(value) = 'object');
comment on domain mesh.boxes is 'Sealed boxes by message id, as the client makes them for one reader.';

create domain mesh.mode as text constraint mode_is_sealed_or_open check (value in ('sealed', 'open'));
comment on domain mesh.mode is 'sealed or open: whether a mesh''s messages are sealed. Left out of a call, the client fills in what it knows of the mesh, so that what is signed says it.';

create domain mesh.frames as json;
comment on domain mesh.frames is 'An array of messages, each as it is pushed; the client opens those that are sealed.';
