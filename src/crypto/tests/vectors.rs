//! The same things made by another program: tests/vectors/check.py, with libsodium.

use super::super::{backup, envelope, open_backup, safety_number};
use super::*;
use serde_json::Map;
use std::{collections::VecDeque, process::Command};

/// Gives out the bytes it was made with, and has no others.
struct Fixed(VecDeque<u8>);

impl Fixed {
    fn of(parts: &[&Value]) -> Fixed {
        let hex: String = parts.iter().map(|part| part.as_str().unwrap()).collect();
        Fixed(unhex(&hex).into())
    }
}

impl RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        unimplemented!("only bytes are asked for")
    }
    fn next_u64(&mut self) -> u64 {
        unimplemented!("only bytes are asked for")
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        out.fill_with(|| self.0.pop_front().expect("enough bytes"));
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl rand_core::CryptoRng for Fixed {}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name]
        .as_str()
        .unwrap_or_else(|| panic!("no text {name}"))
}

fn signer(case: &Value, name: &str) -> Signer {
    Signer::from_seed(text(case, name)).unwrap()
}

fn each<'a>(cases: &'a Value, kind: &str) -> &'a Vec<Value> {
    let found = cases[kind].as_array().unwrap();
    assert!(!found.is_empty());
    found
}

fn members(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

fn at(case: &Value, name: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text(case, name), &Rfc3339).unwrap()
}

fn seal(inputs: &Value) -> Value {
    let draft = &inputs["draft"];
    let identity = signer(inputs, "identity_seed");
    let session = inputs["session_seed"].as_str().map(|_| {
        let session = signer(inputs, "session_seed");
        let arguments = json!({"session_key": session.public_key(), "takeover": false});
        let mesh = Some(text(draft, "mesh"));
        let hello = identity.sign_call_at("open_session", &arguments, mesh, at(inputs, "hello_at"));
        (session, hello)
    });
    let mut random = vec![&inputs["content_key"]];
    let readers = inputs["readers"].as_array().unwrap();
    random.extend(readers.iter().map(|reader| &reader["ephemeral"]));
    let readers: Vec<_> = readers
        .iter()
        .map(|reader| {
            let key = signer(reader, "seed").public_key();
            envelope::Reader::new(text(reader, "agent_id"), &key).unwrap()
        })
        .collect();
    let draft = envelope::Draft {
        function: text(draft, "function"),
        arguments: members(&draft["arguments"]),
        mesh: text(draft, "mesh"),
        sender: text(draft, "sender"),
        id: text(draft, "id"),
        key: draft["key"].as_str(),
        sent_at: at(draft, "sent_at"),
        body: members(&draft["body"]),
    };
    let signing = envelope::Signing {
        identity: &identity,
        session: session.as_ref().map(|(key, hello)| (key, hello)),
    };
    envelope::seal_with(&mut Fixed::of(&random), &draft, &signing, &readers).unwrap()
}

#[test]
fn the_vectors_come_out_to_the_byte() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/envelope.json")).unwrap();
    for case in each(&vectors, "envelopes") {
        let (inputs, outputs) = (&case["inputs"], &case["outputs"]);
        let sealed = seal(inputs);
        assert_eq!(sealed, outputs["envelope"], "{}", case["name"]);
        let sender = signer(inputs, "identity_seed").public_key();
        for reader in inputs["readers"].as_array().unwrap() {
            let mut received = sealed.clone();
            received["box"] = sealed["boxes"][text(reader, "agent_id")].clone();
            let opened = envelope::open(&received, &signer(reader, "seed"), &sender).unwrap();
            assert_eq!(opened.body, *members(&inputs["draft"]["body"]));
        }
    }
    for case in each(&vectors, "wraps") {
        let wrapped = Secret::parse(text(case, "account_key")).unwrap().wrap_with(
            &mut Fixed::of(&[&case["nonce"]]),
            text(case, "mesh"),
            text(case, "agent"),
            &signer(case, "seed"),
        );
        assert_eq!(wrapped, text(case, "wrapped"));
    }
    for case in each(&vectors, "backups") {
        let mut random = Fixed::of(&[&case["salt"], &case["nonce"]]);
        let content = text(case, "content").as_bytes();
        let made = backup::seal_with(&mut random, text(case, "passphrase"), content).unwrap();
        assert_eq!(made, text(case, "text"));
    }
    opened(&vectors);
}

/// All that is not an envelope.
fn opened(cases: &Value) {
    for case in each(cases, "wraps") {
        let key = Secret::parse(text(case, "account_key")).unwrap();
        let unwrapped = key
            .unwrap_identity(text(case, "mesh"), text(case, "wrapped"))
            .unwrap();
        assert_eq!(unwrapped.agent, text(case, "agent"));
        assert_eq!(*unwrapped.identity.seed(), text(case, "seed"));
    }
    for case in each(cases, "safety_numbers") {
        let number = safety_number(text(case, "mesh"), text(case, "one"), text(case, "other"));
        assert_eq!(number.unwrap(), text(case, "number"));
    }
    for case in each(cases, "backups") {
        let content = open_backup(text(case, "passphrase"), text(case, "text")).unwrap();
        assert_eq!(content.as_slice(), text(case, "content").as_bytes());
    }
}

/// tests/vectors/check.py; Debian's own Python is the one that tests/tools gives the libraries.
fn other_program(arguments: &[&str]) -> Vec<u8> {
    let python = ["/usr/bin/python3", "python3"];
    let python = python
        .iter()
        .find(|path| **path == "python3" || std::fs::exists(path).unwrap());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/check.py");
    let done = Command::new(python.unwrap())
        .arg(script)
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{said}\n(tests/tools installs what it needs)"
    );
    done.stdout
}

#[test]
fn another_program_makes_the_vectors() {
    other_program(&[]);
}

#[test]
fn what_another_program_made_opens() {
    let cases: Value = serde_json::from_slice(&other_program(&["make"])).unwrap();
    for case in each(&cases, "envelopes") {
        let opened = envelope::open(
            &case["envelope"],
            &signer(case, "seed"),
            text(case, "sender_key"),
        );
        assert_eq!(opened.unwrap().body, *members(&case["body"]));
    }
    opened(&cases);
}

#[test]
fn another_program_opens_what_is_made_here() {
    const MESH: &str = "0199b2c0-0000-7000-8000-000000000001";
    let mut envelopes = Vec::new();
    let to = json!({"to": "designer"});
    let [identity, session, friend] = std::array::from_fn(|_| Signer::generate());
    let arguments = json!({"session_key": session.public_key()});
    let hello = identity.sign_call("open_session", &arguments, Some(MESH));
    for length in (0..40).map(|n| n * n * 7) {
        let mut bytes = vec![0; length];
        OsRng.fill_bytes(&mut bytes);
        let body =
            json!({"message": String::from_utf8_lossy(&bytes), "data": {"n": length as f64 / 7.0}});
        let draft = envelope::Draft {
            function: "send_message",
            arguments: members(&to),
            mesh: MESH,
            sender: "a",
            id: &envelope::new_id(),
            key: None,
            sent_at: OffsetDateTime::now_utc(),
            body: members(&body),
        };
        let signing = envelope::Signing {
            identity: &identity,
            session: (length % 2 == 0).then_some((&session, &hello)),
        };
        let reader = envelope::Reader::new("b", &friend.public_key()).unwrap();
        let mut sealed = envelope::seal(&draft, &signing, &[reader]).unwrap();
        sealed["box"] = sealed["boxes"]["b"].clone();
        envelopes.push(json!({"envelope": sealed, "seed": *friend.seed(), "sender_key": identity.public_key(), "body": body}));
    }
    let key = Secret::generate("mc_");
    let wraps = json!([{"account_key": key.text(), "mesh": MESH, "agent": "backend", "seed": *identity.seed(),
        "wrapped": key.wrap_identity(MESH, "backend", &identity)}]);
    let (one, other) = (identity.public_key(), friend.public_key());
    let numbers = json!([{"mesh": MESH, "one": one, "other": other, "number": safety_number(MESH, &one, &other).unwrap()}]);
    let (passphrase, content) = ("zwölf Boxkämpfer jagen Viktor", "x".repeat(1000));
    let backups = json!([{"passphrase": passphrase, "content": content,
        "text": backup::seal_backup(passphrase, content.as_bytes()).unwrap()}]);
    let made = json!({"envelopes": envelopes, "wraps": wraps, "safety_numbers": numbers, "backups": backups});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), made.to_string()).unwrap();
    other_program(&["open", file.path().to_str().unwrap()]);
}
