use super::*;
use crate::corpus::corpus;
use rand_core::RngCore as _;
use serde_json::from_str;

/// One sender with a window, and two readers, the sender being one.
struct World {
    identity: Signer,
    session: Signer,
    hello: Value,
    friend: Signer,
    arguments: Map<String, Value>,
    body: Map<String, Value>,
}

const MESH: &str = "0199b2c0-0000-7000-8000-000000000001";
const SENDER: &str = "0199b2c0-0000-7000-8000-00000000000a";
const FRIEND: &str = "0199b2c0-0000-7000-8000-00000000000b";

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => panic!("no object"),
    }
}

impl World {
    fn new() -> World {
        let [identity, session, friend] = std::array::from_fn(|_| Signer::generate());
        let hello = identity.sign_call(
            "open_session",
            &json!({"session_key": session.public_key(), "takeover": false}),
            Some(MESH),
        );
        World {
            identity,
            session,
            hello,
            friend,
            arguments: object(
                json!({"to": "designer", "mentions": ["designer"], "reply_to": null}),
            ),
            body: object(json!({"message": "Füße 😀 \u{1}", "data": {"n": [1, 0.5, null]}})),
        }
    }

    fn readers(&self) -> Vec<Reader> {
        let reader = |id: &str, key: &Signer| Reader::new(id, &key.public_key()).unwrap();
        // Not in order of id.
        vec![reader(FRIEND, &self.friend), reader(SENDER, &self.identity)]
    }

    fn draft(&self) -> Draft<'_> {
        Draft {
            function: "send_message",
            arguments: &self.arguments,
            mesh: MESH,
            sender: SENDER,
            id: "0199b2c0-1111-7000-8000-000000000001",
            key: None,
            sent_at: OffsetDateTime::now_utc(),
            body: &self.body,
        }
    }

    fn signing(&self) -> Signing<'_> {
        Signing {
            identity: &self.identity,
            session: Some((&self.session, &self.hello)),
        }
    }

    fn sealed(&self) -> Value {
        seal(&self.draft(), &self.signing(), &self.readers()).unwrap()
    }

    /// What the friend gets of an envelope.
    fn received(&self) -> Value {
        received(self.sealed(), FRIEND)
    }

    fn opened(&self, envelope: &Value) -> std::result::Result<Opened, Unopened> {
        open(envelope, &self.friend, &self.identity.public_key())
    }

    fn refused(&self, envelope: &Value) -> Unopened {
        self.opened(envelope).expect_err("this must not open")
    }

    /// Signed well, over anything.
    fn signed_over(&self, document: String, sealed: &[u8], own_box: Value) -> Value {
        let signature = self.session.0.sign(&in_context(&document));
        json!({"v": 1, "document": document, "signer": self.session.public_key(),
            "signature": HEXLOWER.encode(&signature.to_bytes()), "attestation": self.hello,
            "sealed": BASE64.encode(sealed), "box": own_box})
    }

    /// What a sender would make that seals any bytes as the padded body.
    fn with_padded(&self, padded: &[u8]) -> Value {
        let key = ContentKey::generate(&mut OsRng);
        self.with_sealed(&key, &key.seal(padded))
    }

    fn with_sealed(&self, key: &ContentKey, sealed: &[u8]) -> Value {
        let document = self.document_with(|d| d["body"] = sha256_hex(sealed).into());
        let friend = &self.readers()[0];
        self.signed_over(
            document,
            sealed,
            key.boxed(&mut OsRng, &friend.point).into(),
        )
    }

    fn document_with(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut document: Value = from_str(self.sealed()["document"].as_str().unwrap()).unwrap();
        change(&mut document);
        canonical::text(&document)
    }
}

/// As the server hands it to one reader.
fn received(mut envelope: Value, agent_id: &str) -> Value {
    let boxes = envelope.as_object_mut().unwrap().remove("boxes").unwrap();
    envelope["box"] = boxes[agent_id].clone();
    envelope
}

#[test]
fn a_reader_reads_what_was_sealed() {
    let w = World::new();
    let sealed = w.sealed();
    assert_eq!(sealed["boxes"].as_object().unwrap().len(), 2);
    for (id, signer) in [(FRIEND, &w.friend), (SENDER, &w.identity)] {
        let envelope = received(sealed.clone(), id);
        let header = document_of(&envelope).unwrap();
        assert_eq!(header.sender, SENDER);
        let opened = open(&envelope, signer, &w.identity.public_key()).unwrap();
        assert_eq!(opened.body, w.body);
        assert_eq!(opened.document, header);
    }
    let header = document_of(&sealed).unwrap();
    assert_eq!(header.recipients, recipients_hash(&w.readers()));
    assert_eq!(
        header.arguments,
        object(json!({"to": "designer", "mentions": ["designer"]}))
    );
    assert_eq!(
        header.body_tag,
        body_tag(&w.identity, w.draft().id, &w.body)
    );
    assert!(!sealed.to_string().contains("Füße"));
    let again = w.sealed();
    assert_ne!(
        again["sealed"], sealed["sealed"],
        "each try has a key of its own"
    );
    assert_ne!(again["boxes"], sealed["boxes"]);
}

#[test]
fn an_identity_signs_without_a_session() {
    let w = World::new();
    let signing = Signing {
        identity: &w.identity,
        session: None,
    };
    let envelope = received(seal(&w.draft(), &signing, &w.readers()).unwrap(), FRIEND);
    assert!(envelope.get("attestation").is_none());
    assert_eq!(w.opened(&envelope).unwrap().body, w.body);
    let stranger = Signer::generate().public_key();
    assert_eq!(
        open(&envelope, &w.friend, &stranger).unwrap_err(),
        Unopened::SignedBy
    );
}

#[test]
fn a_first_try_has_no_boxes() {
    let w = World::new();
    let envelope = seal(&w.draft(), &w.signing(), &[]).unwrap();
    assert_eq!(envelope["boxes"], json!({}));
    assert_eq!(document_of(&envelope).unwrap().recipients, sha256_hex(b""));
}

#[test]
fn bodies_of_every_size_round_trip() {
    let mut w = World::new();
    let empty = canonical::text(&json!({"message": ""})).len();
    let around = |power: u32| (power - 6..=power + 2).map(|n| n as usize);
    let mut sizes: Vec<usize> = (empty..300).collect();
    sizes.extend((9..18).flat_map(|bits| around(1 << bits)));
    sizes.extend(262_130..=262_140);
    for size in sizes {
        let mut text = "é".repeat((size - empty) / 2);
        if (size - empty) % 2 == 1 {
            text.push('x');
        }
        w.body = object(json!({"message": text}));
        let envelope = w.received();
        let sealed = BASE64
            .decode(envelope["sealed"].as_str().unwrap().as_bytes())
            .unwrap();
        let padded = (size + 4).next_power_of_two().max(256);
        assert_eq!(sealed.len(), padded + 40, "{size}");
        assert_eq!(w.opened(&envelope).unwrap().body, w.body, "{size}");
    }
    w.body = object(json!({"message": "x".repeat(262_141 - empty)}));
    let error = seal(&w.draft(), &w.signing(), &w.readers()).unwrap_err();
    assert_eq!(error.code, "ME413");
    assert!(error.message.contains("262140"), "{error}");
}

#[test]
fn bodies_of_every_kind_round_trip() {
    let mut w = World::new();
    for round in 0..200 {
        let mut bytes = vec![0u8; 3 * round];
        OsRng.fill_bytes(&mut bytes);
        w.body = object(
            json!({"message": String::from_utf8_lossy(&bytes), "data": {"bytes": bytes, "b": [{}, [], ""]}}),
        );
        assert_eq!(w.opened(&w.received()).unwrap().body, w.body);
    }
}

#[test]
fn every_flipped_bit_of_an_envelope_is_refused() {
    let w = World::new();
    let envelope = w.received();
    w.opened(&envelope).unwrap();
    let text = envelope.to_string().into_bytes();
    let mut judged = 0;
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // What is no JSON any more never reaches us.
        if let Ok(forged) = serde_json::from_slice::<Value>(&flipped) {
            judged += 1;
            let end = text.len().min(bit / 8 + 30);
            let what = String::from_utf8_lossy(&flipped[bit / 8..end]);
            assert!(
                w.opened(&forged).is_err(),
                "bit {bit} may be flipped: {what}"
            );
        }
    }
    assert!(judged > text.len() * 4, "most flips are judged");
}

#[test]
fn each_lost_or_strange_member_is_refused() {
    let w = World::new();
    let good = w.received();
    let members: Vec<_> = good.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members.len(), 7);
    for name in &members {
        for strange in [
            None,
            Some(json!(null)),
            Some(json!(7)),
            Some(json!({})),
            Some(json!("é")),
        ] {
            let mut forged = good.clone();
            let envelope = forged.as_object_mut().unwrap();
            match strange {
                None => drop(envelope.shift_remove(name)),
                Some(value) => drop(envelope.insert(name.clone(), value)),
            }
            w.refused(&forged);
        }
    }
    let mut more = good.clone();
    more["extra"] = json!(1);
    assert_eq!(
        w.refused(&more).to_string(),
        r#"it is no envelope: "extra" is no part of it"#
    );
    let mut newer = good.clone();
    newer["v"] = json!(2);
    assert_eq!(w.refused(&newer), Unopened::Version);
    let mut unboxed = good;
    unboxed["box"] = Value::Null;
    assert_eq!(w.refused(&unboxed), Unopened::NoBox);
}

#[test]
fn only_its_readers_open_it() {
    let w = World::new();
    let sender = w.identity.public_key();
    let sealed = w.sealed();
    let stranger = Signer::generate();
    assert_eq!(
        open(&received(sealed.clone(), FRIEND), &stranger, &sender).unwrap_err(),
        Unopened::Box
    );
    assert_eq!(
        open(&received(sealed.clone(), SENDER), &w.friend, &sender).unwrap_err(),
        Unopened::Box
    );
    // The box of another envelope holds another key.
    let mut mixed = received(sealed, FRIEND);
    mixed["box"] = w.received()["box"].clone();
    assert_eq!(
        w.refused(&mixed),
        Unopened::Body("was sealed with another key")
    );
}

#[test]
fn the_sender_must_have_signed() {
    let w = World::new();
    let envelope = w.received();
    let stranger = Signer::generate().public_key();
    assert_eq!(
        open(&envelope, &w.friend, &stranger).unwrap_err(),
        Unopened::SignedBy
    );
    let mut bare = envelope.clone();
    bare["attestation"] = Value::Null;
    assert_eq!(w.refused(&bare), Unopened::SignedBy);
    for (part, other) in [("signature", "signature"), ("document", "signature")] {
        let mut mixed = envelope.clone();
        mixed[part] = w.received()[part].clone();
        match part {
            "document" => assert!(matches!(w.refused(&mixed), Unopened::Signature), "{other}"),
            _ => assert_eq!(w.refused(&mixed), Unopened::Signature),
        }
    }
    let mut swapped = envelope;
    swapped["sealed"] = w.received()["sealed"].clone();
    assert_eq!(w.refused(&swapped), Unopened::Changed);
}

#[test]
fn an_attestation_is_for_one_session_in_one_mesh_and_in_time() {
    let mut w = World::new();
    let key = json!({"session_key": w.session.public_key()});
    let other = json!({"session_key": Signer::generate().public_key()});
    let late = OffsetDateTime::now_utc() + Duration::minutes(11);
    let hello = |function, arguments: &Value, mesh, at| {
        w.identity.sign_call_at(function, arguments, mesh, at)
    };
    let now = OffsetDateTime::now_utc();
    let wrong = [
        (
            hello("open_session", &other, Some(MESH), now),
            "another session",
        ),
        (
            hello("create_agent_key", &key, Some(MESH), now),
            "another session",
        ),
        (
            hello("open_session", &key, Some(FRIEND), now),
            "another mesh",
        ),
        (hello("open_session", &key, None, now), "another mesh"),
        (hello("open_session", &key, Some(MESH), late), "younger"),
        (json!({"document": "{}"}), "needs the text"),
        (json!([]), "signed object"),
    ];
    let early = hello("open_session", &key, Some(MESH), now - Duration::days(400));
    for (hello, why) in wrong {
        w.hello = hello;
        let said = w.refused(&w.received()).to_string();
        assert!(
            said.contains("not vouched for") && said.contains(why),
            "{said}"
        );
    }
    w.hello = early;
    w.opened(&w.received()).unwrap();
    w.hello = Signer::generate().sign_call("open_session", &key, Some(MESH));
    assert_eq!(w.refused(&w.received()), Unopened::SignedBy);
}

#[test]
fn a_document_has_just_its_members_in_canonical_form() {
    let w = World::new();
    let sealed = ContentKey::generate(&mut OsRng).seal(&[0; 256]);
    let said = |document: String| {
        w.refused(&w.signed_over(document, &sealed, Value::Null))
            .to_string()
    };
    for name in [
        "function",
        "arguments",
        "mesh",
        "sender",
        "id",
        "recipients",
        "sent_at",
        "body",
        "body_tag",
    ] {
        let lacking = w.document_with(|d| drop(d.as_object_mut().unwrap().remove(name)));
        assert!(said(lacking).contains(name), "{name}");
        let odd = w.document_with(|d| d[name] = json!([1]));
        assert!(said(odd).contains(name), "{name}");
    }
    assert!(said(w.document_with(|d| d["extra"] = json!(1))).contains("extra"));
    assert!(said(w.document_with(|d| d["v"] = json!(2))).contains("another version"));
    for at in [
        "2026-11-21",
        "2026-11-21T10:00:00+00:00",
        "2026-11-21T10:00:00.5Z",
        "yesterday",
    ] {
        assert!(
            said(w.document_with(|d| d["sent_at"] = json!(at))).contains("UTC seconds"),
            "{at}"
        );
    }
    let good = w.document_with(|_| ());
    assert!(said(good.replace(':', ": ")).contains("canonical"));
    assert!(said(good.replacen('{', r#"{"v":1,"#, 1)).contains("canonical"));
    assert!(said("[]".into()).contains("no object"));
    assert!(said("{".into()).contains("no JSON"));
}

#[test]
fn a_body_that_no_client_makes_is_refused() {
    let w = World::new();
    let why = |padded: &[u8]| match w.refused(&w.with_padded(padded)) {
        Unopened::Body(why) => why,
        other => panic!("{other}"),
    };
    let padded = |body: &str| body::pad(body).unwrap().to_vec();
    let good = padded(r#"{"message":"hi"}"#);
    assert_eq!(
        w.opened(&w.with_padded(&good)).unwrap().body,
        object(json!({"message": "hi"}))
    );

    for at in [4 + 16, 100, 255] {
        let mut dirty = good.clone();
        dirty[at] = 1;
        assert_eq!(why(&dirty), "is padded with something");
    }
    for length in [253u32, 256, 262_141, u32::MAX] {
        let mut beyond = good.clone();
        beyond[..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(why(&beyond), "has another length than it says", "{length}");
    }
    let mut long = good.clone();
    long.resize(512, 0);
    assert_eq!(why(&long), "has another length than it says");
    assert_eq!(why(&good[..255]), "has another length than it says");
    assert_eq!(why(&[0; 3]), "is cut short");
    assert_eq!(why(&[]), "is cut short");
    for text in [
        "",
        "[]",
        "\"hi\"",
        "{\"b\":1,\"a\":2}",
        "{\"a\":1,\"a\":1}",
        "{ }",
        "{\"a\":1.0}",
        "{",
    ] {
        assert_eq!(
            why(&padded(text)),
            "is no JSON object in canonical form",
            "{text}"
        );
    }
    let mut binary = good.clone();
    binary[6] = 0xff;
    assert_eq!(why(&binary), "is no JSON object in canonical form");
    assert_eq!(why(&vec![0; 524_288]), "is larger than a message can be");

    let key = ContentKey::generate(&mut OsRng);
    let mut broken = key.seal(&good);
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(
        w.refused(&w.with_sealed(&key, &broken)),
        Unopened::Body("does not open with its key")
    );
    assert_eq!(
        w.refused(&w.with_sealed(&key, &broken[..20])),
        Unopened::Body("is cut short")
    );
    assert_eq!(
        w.refused(&w.with_sealed(&key, &broken[..24])),
        Unopened::Body("does not open with its key")
    );
    // A nonce that the sender chose could open under two keys.
    let mut chosen = key.seal(&good);
    chosen[0] ^= 1;
    assert_eq!(
        w.refused(&w.with_sealed(&key, &chosen)),
        Unopened::Body("was sealed with another key")
    );
}

#[test]
fn what_would_change_on_the_way_is_not_sealed() {
    let mut w = World::new();
    let large = object(json!({"data": {"n": [9007199254740993u64]}}));
    let body = std::mem::replace(&mut w.body, large.clone());
    let error = seal(&w.draft(), &w.signing(), &w.readers()).unwrap_err();
    assert!(
        error.code == "ME400" && error.message.contains("2^53"),
        "{error}"
    );
    w.body = body;
    w.arguments = large;
    assert!(seal(&w.draft(), &w.signing(), &w.readers()).is_err());
    let twice = [w.readers(), w.readers()].concat();
    w.arguments = Map::new();
    let error = seal(&w.draft(), &w.signing(), &twice).unwrap_err();
    assert!(error.message.contains("twice"), "{error}");
}

#[test]
fn a_key_that_anybody_could_open_makes_no_reader() {
    let weak = "0".repeat(64);
    let one = format!("01{}", "0".repeat(62));
    for key in [
        "",
        "xy",
        &weak,
        &one,
        &"F".repeat(64),
        &Signer::generate().public_key()[..62],
    ] {
        assert_eq!(Reader::new(FRIEND, key).unwrap_err().code, "ME400", "{key}");
    }
}

#[test]
fn the_recipients_are_hashed_in_order() {
    let w = World::new();
    let lines = format!(
        "{SENDER} {}\n{FRIEND} {}\n",
        w.identity.public_key(),
        w.friend.public_key()
    );
    assert_eq!(recipients_hash(&w.readers()), sha256_hex(lines.as_bytes()));
}

#[test]
fn a_body_tag_tells_calls_apart_and_nothing_else() {
    let w = World::new();
    let tag = body_tag(&w.identity, "k1", &w.body);
    let other_order = object(from_str(&canonical::text(&json!(w.body))).unwrap());
    assert_eq!(body_tag(&w.identity, "k1", &other_order), tag);
    assert_ne!(body_tag(&w.identity, "k2", &w.body), tag);
    assert_ne!(body_tag(&w.friend, "k1", &w.body), tag);
    assert_ne!(body_tag(&w.identity, "k1", &Map::new()), tag);
}

#[test]
fn who_can_open_can_let_another_in() {
    let w = World::new();
    let sender = w.identity.public_key();
    let late = Signer::generate();
    let reader = Reader::new("0199b2c0-0000-7000-8000-00000000000c", &late.public_key()).unwrap();
    let mut envelope = w.received();
    envelope["box"] = rebox(&envelope, &w.friend, &sender, &reader)
        .unwrap()
        .into();
    assert_eq!(open(&envelope, &late, &sender).unwrap().body, w.body);
    assert_eq!(w.refused(&envelope), Unopened::Box);
    assert_eq!(
        rebox(&envelope, &w.friend, &sender, &reader).unwrap_err(),
        Unopened::Box
    );
    let mut forged = w.received();
    forged["signature"] = "0".repeat(128).into();
    assert_eq!(
        rebox(&forged, &w.friend, &sender, &reader).unwrap_err(),
        Unopened::Signature
    );
}

#[test]
fn no_text_shows_in_debug_output() {
    let mut w = World::new();
    w.body = object(json!({"message": "very private"}));
    let envelope = w.received();
    let opened = w.opened(&envelope).unwrap();
    assert!(!format!("{opened:?} {envelope:?}").contains("very private"));
}

#[test]
fn new_ids_are_of_now_and_in_order() {
    let ids: Vec<_> = (0..100).map(|_| new_id()).collect();
    assert!(ids.is_sorted());
    let id: uuid::Uuid = ids[0].parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    let (seconds, _) = id.get_timestamp().unwrap().to_unix();
    assert!(seconds.abs_diff(OffsetDateTime::now_utc().unix_timestamp() as u64) < 5);
}

#[test]
fn every_envelope_of_the_corpus_is_refused_for_its_reason() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/envelope.json")).unwrap();
    let case = &vectors["envelopes"][0];
    let reader = &case["inputs"]["readers"][1];
    let identity = Signer::from_seed(reader["seed"].as_str().unwrap()).unwrap();
    let sender = case["inputs"]["identity_seed"].as_str().unwrap();
    let sender = Signer::from_seed(sender).unwrap().public_key();
    let mut good = case["outputs"]["envelope"].clone();
    good["box"] = good["boxes"][reader["agent_id"].as_str().unwrap()].clone();
    open(&good, &identity, &sender).unwrap();

    for (name, text, reason) in corpus("envelope") {
        let broken: Value = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let _ = document_of(&broken);
        let why = open(&broken, &identity, &sender)
            .expect_err(&name)
            .to_string();
        assert!(why.contains(&reason), "{name}: {why}");
        assert!(
            why.len() < 200 && !why.contains("message\":"),
            "{name}: {why}"
        );
    }
}
