use super::*;
use time::Duration;

mod kept;
mod vectors;

fn unhex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

#[test]
fn hkdf_gives_what_rfc_5869_says() {
    let mut out = [0u8; 42];
    hkdf(
        &[0x0b; 22],
        &unhex("000102030405060708090a0b0c"),
        &unhex("f0f1f2f3f4f5f6f7f8f9"),
        &mut out,
    );
    let expected =
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    assert_eq!(HEXLOWER.encode(&out), expected);

    hkdf(&[0x0b; 22], &[], &[], &mut out);
    let expected =
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
    assert_eq!(HEXLOWER.encode(&out), expected);
}

#[test]
fn ed25519_gives_what_rfc_8032_says() {
    let signer =
        Signer::from_seed("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
            .unwrap();
    assert_eq!(
        signer.public_key(),
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    );
    let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                    085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    assert_eq!(
        HEXLOWER.encode(&signer.0.sign(&[0x72]).to_bytes()),
        expected
    );
}

#[test]
fn a_key_reads_back_and_derives_what_travels() {
    for prefix in ["mc_", "mc_inv_"] {
        let key = Secret::generate(prefix);
        assert_eq!(key.text().len(), prefix.len() + 48);
        let again = Secret::parse(&format!(" {}\n", key.text())).unwrap();
        assert_eq!(again.text(), key.text());
        assert_eq!(again.is_invite(), prefix == "mc_inv_");
        assert_eq!(again.bearer(), key.bearer());
        assert_eq!(key.bearer().len(), 3 + 64);
        assert_eq!(key.verifier(), sha256_hex(key.bearer().as_bytes()));
        assert_ne!(key.bearer()[3..], key.signer().public_key());
        assert_eq!(key.prefix().len(), 12);
    }
    assert_ne!(
        Secret::generate("mc_").text(),
        Secret::generate("mc_").text()
    );
}

#[test]
fn a_known_key_derives_the_same_for_ever() {
    let seed = [7u8; SEED];
    let text = format!(
        "mc_{}{}",
        HEXLOWER.encode(&seed),
        HEXLOWER.encode(&checksum("mc_", &seed))
    );
    let key = Secret::parse(&text).unwrap();
    let mut bearer = [0u8; 32];
    hkdf(&seed, &[], b"mesh/auth/v1", &mut bearer);
    assert_eq!(key.bearer(), format!("mt_{}", HEXLOWER.encode(&bearer)));
    let mut identity = [0u8; 32];
    hkdf(&seed, &[], b"mesh/identity/v1", &mut identity);
    assert_eq!(*key.signer().seed(), HEXLOWER.encode(&identity));
}

#[test]
fn every_typo_in_a_key_is_told() {
    let key = Secret::generate("mc_");
    let text = key.text();
    for at in 3..text.len() {
        for digit in "0123456789abcdef"
            .chars()
            .filter(|c| *c != text.as_bytes()[at] as char)
        {
            let mut typo = text.to_owned();
            typo.replace_range(at..=at, &digit.to_string());
            let error = Secret::parse(&typo).err().expect("a typo is refused");
            assert_eq!(error.code, "ME400");
            assert!(
                error.message.contains("typo") && !error.message.contains(&typo),
                "{error}"
            );
        }
    }
    let invite = text.replace("mc_", "mc_inv_");
    for wrong in [
        "",
        "mc_",
        "hello",
        &text[..50],
        &text.to_uppercase(),
        &format!("{text}0"),
        &invite,
        "mt_00",
        "mc_é",
    ] {
        assert_eq!(
            Secret::parse(wrong).err().expect("no key").code,
            "ME400",
            "{wrong}"
        );
    }
}

#[test]
fn a_signed_call_fits_only_its_own_call() {
    let signer = Signer::generate();
    let arguments =
        json!({"to": "designer", "n": 1.5, "deep": {"b": [1, null], "a": "é\u{1F600}"}});
    let signed = signer.sign_call("send_message", &arguments, Some("proj"));
    verify_call(&signed, "send_message", &arguments).unwrap();
    // The order of members and the spelling of a number do not matter.
    let same: Value =
        serde_json::from_str(r#"{"deep":{"a":"é😀","b":[1.0,null]},"n":1.50,"to":"designer"}"#)
            .unwrap();
    verify_call(&signed, "send_message", &same).unwrap();

    assert!(
        verify_call(&signed, "wait", &arguments)
            .unwrap_err()
            .message
            .contains("another function")
    );
    for other in [
        json!({}),
        json!({"to": "designer"}),
        json!({"to": "x", "n": 1.5, "deep": arguments["deep"]}),
    ] {
        assert!(
            verify_call(&signed, "send_message", &other)
                .unwrap_err()
                .message
                .contains("other arguments")
        );
    }
    let document: Value = serde_json::from_str(signed["document"].as_str().unwrap()).unwrap();
    assert_eq!(document["mesh"], "proj");
    assert_eq!(
        document["signed_at"].as_str().unwrap().len(),
        "2026-01-01T00:00:00Z".len()
    );
}

#[test]
fn every_flipped_bit_of_a_signed_call_is_refused() {
    let arguments = json!({"session_key": "ab", "n": 1});
    let signed = Signer::generate().sign_call("open_session", &arguments, None);
    for part in ["document", "signer", "signature"] {
        let bytes = signed[part].as_str().unwrap().as_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(text) = String::from_utf8(flipped) else {
                continue;
            };
            let mut forged = signed.clone();
            forged[part] = text.into();
            let error = verify_call(&forged, "open_session", &arguments).unwrap_err();
            assert_eq!(error.code, "ME400", "{part} bit {bit}");
        }
    }
}

#[test]
fn documents_that_two_readers_could_read_differently_are_refused() {
    let signer = Signer::generate();
    let raw = |document: &str| {
        let signature = HEXLOWER.encode(&signer.0.sign(&in_context(document)).to_bytes());
        json!({"document": document, "signer": signer.public_key(), "signature": signature})
    };
    for document in [
        r#"{"arguments":{"a":1,"a":2},"function":"f","mesh":null,"signed_at":"2026-01-01T00:00:00Z"}"#,
        r#"{"function":"f","arguments":{},"mesh":null,"signed_at":"2026-01-01T00:00:00Z"}"#,
        r#"{"arguments":{}, "function":"f"}"#,
        "not json",
    ] {
        assert!(
            verify_call(&raw(document), "f", &json!({})).is_err(),
            "{document}"
        );
    }
    let arguments = json!({"n": 9007199254740993u64});
    let signed = signer.sign_call("f", &arguments, None);
    assert!(
        verify_call(&signed, "f", &arguments)
            .unwrap_err()
            .message
            .contains("2^53")
    );
    for odd in [
        json!(null),
        json!([]),
        json!({}),
        json!("x"),
        json!({"document": 1, "signer": 2, "signature": 3}),
    ] {
        assert_eq!(
            verify_call(&odd, "f", &json!({})).unwrap_err().code,
            "ME400"
        );
    }
    // The all-zero key accepts forged signatures unless weak keys are refused.
    let weak = json!({"document": "{}", "signer": "0".repeat(64), "signature": "0".repeat(128)});
    assert!(open_signed(&weak).is_err());
}

/// Who signs what in the chain of a test; each field can be broken alone.
struct Story {
    owner: Signer,
    invite: Signer,
    agent: Signer,
    session: Signer,
    start: OffsetDateTime,
}

impl Story {
    fn new() -> Story {
        let start = OffsetDateTime::now_utc();
        let [owner, invite, agent, session] = std::array::from_fn(|_| Signer::generate());
        Story {
            owner,
            invite,
            agent,
            session,
            start,
        }
    }

    fn invite(&self, by: &Signer, days: Value) -> Value {
        let invite = json!({"verifier": "00", "public_key": self.invite.public_key()});
        by.sign_call_at(
            "create_invite",
            &json!({"agent": "designer", "days": days, "invite": invite}),
            Some("proj"),
            self.start,
        )
    }

    fn redeem(&self, by: &Signer, at: OffsetDateTime) -> Value {
        by.sign_call_at(
            "redeem_invite",
            &json!({"identity_key": self.agent.public_key()}),
            Some("proj"),
            at,
        )
    }

    fn certificate(&self, by: &Signer, agent: &str) -> Value {
        let arguments = json!({"agent": agent, "identity_key": self.agent.public_key()});
        by.sign_call_at("create_agent_key", &arguments, Some("proj"), self.start)
    }

    fn hello(&self, by: &Signer) -> Value {
        by.sign_call_at(
            "open_session",
            &json!({"session_key": self.session.public_key()}),
            Some("proj"),
            self.start,
        )
    }
}

#[test]
fn good_chains_name_their_owner() {
    let s = Story::new();
    let day = Duration::days(1);
    let owner = Ok(s.owner.public_key());
    let invited = json!([
        s.invite(&s.owner, json!(7)),
        s.redeem(&s.invite, s.start + day),
        s.hello(&s.agent)
    ]);
    assert_eq!(verify_chain(&invited), owner);
    assert_eq!(
        verify_chain(&json!([
            s.certificate(&s.owner, "backend"),
            s.hello(&s.agent)
        ])),
        owner
    );
    assert_eq!(
        verify_chain(&json!([s.certificate(&s.owner, "backend")])),
        owner
    );
    assert_eq!(verify_chain(&json!([s.hello(&s.owner)])), owner);
}

#[test]
fn each_broken_rule_breaks_the_chain() {
    let s = Story::new();
    let stranger = Signer::generate();
    let good = [
        s.invite(&s.owner, json!(7)),
        s.redeem(&s.invite, s.start),
        s.hello(&s.agent),
    ];
    let why = |chain: Value| verify_chain(&chain).expect_err("a broken chain");

    let wrong = why(json!([good[0], s.redeem(&stranger, s.start), good[2]]));
    assert!(wrong.starts_with("link 2 is signed by"), "{wrong}");
    let wrong = why(json!([good[0], good[1], s.hello(&stranger)]));
    assert!(wrong.starts_with("link 3 is signed by"), "{wrong}");
    let late = why(json!([
        good[0],
        s.redeem(&s.invite, s.start + Duration::days(8)),
        good[2]
    ]));
    assert!(late.contains("expired"), "{late}");
    let missing = why(json!([good[0], good[2]]));
    assert!(missing.starts_with("link 2 is signed by"), "{missing}");
    let skipped = why(json!([good[0], s.hello(&s.invite)]));
    assert!(skipped.contains("may not"), "{skipped}");

    let other = s.invite.sign_call(
        "redeem_invite",
        &json!({"identity_key": s.agent.public_key(), "agent": "backend"}),
        Some("proj"),
    );
    let name = why(json!([good[0], other, good[2]]));
    assert!(
        name.contains("backend") && name.contains("designer"),
        "{name}"
    );

    let mut swapped = good.clone();
    let text = swapped[1]["document"]
        .as_str()
        .unwrap()
        .replace(&s.agent.public_key(), &stranger.public_key());
    swapped[1]["document"] = text.into();
    let swapped = why(json!(swapped));
    assert!(
        swapped.starts_with("link 2: the signature does not fit"),
        "{swapped}"
    );

    let both = json!({"identity_key": s.agent.public_key(), "session_key": s.session.public_key()});
    assert!(why(json!([s.owner.sign_call("f", &both, None)])).contains("or two"));
    assert!(why(json!([s.owner.sign_call("f", &json!({}), None)])).contains("no key"));
    let twice = s.agent.sign_call(
        "f",
        &json!({"identity_key": stranger.public_key()}),
        Some("proj"),
    );
    assert!(why(json!([s.certificate(&s.owner, "a"), twice])).contains("may not"));
    let elsewhere = s.agent.sign_call(
        "open_session",
        &json!({"session_key": s.session.public_key()}),
        Some("other"),
    );
    assert!(why(json!([s.certificate(&s.owner, "a"), elsewhere])).contains("another mesh"));
    for none in [
        json!([]),
        json!({}),
        json!(null),
        json!([1]),
        json!(vec![good[0].clone(); 9]),
    ] {
        verify_chain(&none).expect_err("no chain");
    }
}
