//! Wrapped identities, safety numbers and backups.

use super::super::{check_passphrase, open_backup, safety_number, seal_backup};
use super::*;

const MESH: &str = "0199b2c0-0000-7000-8000-000000000001";
const OTHER: &str = "0199b2c0-0000-7000-8000-000000000002";

#[test]
fn an_identity_comes_out_of_its_wrapping_for_its_account_and_mesh() {
    let key = Secret::generate("mc_");
    let identity = Signer::generate();
    let wrapped = key.wrap_identity(MESH, "backend", &identity);
    assert!(wrapped.len() < 1000 && !wrapped.contains(&*identity.seed()));
    assert_ne!(wrapped, key.wrap_identity(MESH, "backend", &identity));
    let unwrapped = key.unwrap_identity(MESH, &wrapped).unwrap();
    assert_eq!(unwrapped.identity.public_key(), identity.public_key());
    assert_eq!(unwrapped.agent, "backend");

    let why = |key: &Secret, mesh, wrapped: &str| match key.unwrap_identity(mesh, wrapped) {
        Ok(_) => panic!("it opens"),
        Err(error) => {
            assert_eq!(error.code, "ME409");
            error.message
        }
    };
    assert!(why(&key, OTHER, &wrapped).contains("another mesh"));
    let another = Secret::generate("mc_");
    assert!(why(&another, MESH, &wrapped).contains("this account key"));
    for at in 0..wrapped.len() {
        let mut changed = wrapped.clone().into_bytes();
        changed[at] ^= 1;
        let changed = String::from_utf8(changed).unwrap();
        assert!(why(&key, MESH, &changed).contains("does not open"), "{at}");
    }
    for broken in ["", "AAAA", "é", &wrapped[..40]] {
        why(&key, MESH, broken);
    }
}

#[test]
fn both_sides_see_one_safety_number() {
    let (one, other) = (
        Signer::generate().public_key(),
        Signer::generate().public_key(),
    );
    let number = safety_number(MESH, &one, &other).unwrap();
    assert_eq!(safety_number(MESH, &other, &one).unwrap(), number);
    let groups: Vec<_> = number.split(' ').collect();
    assert_eq!(groups.len(), 12);
    assert!(
        groups
            .iter()
            .all(|group| group.len() == 5 && group.bytes().all(|b| b.is_ascii_digit()))
    );

    assert_ne!(safety_number(OTHER, &one, &other).unwrap(), number);
    assert_ne!(safety_number(MESH, &one, &one).unwrap(), number);
    assert_eq!(safety_number(MESH, &one, "ab").unwrap_err().code, "ME400");
}

const GOOD: &str = "ferret granite lullaby 71 oboe";

#[test]
fn a_backup_opens_with_its_passphrase_only() {
    let text = seal_backup(GOOD, b"all my keys").unwrap();
    assert!(text.starts_with("mesh backup 1\nargon2id m=65536 t=3 p=4 salt="));
    assert!(text.lines().all(|line| line.len() <= 76));
    assert_eq!(open_backup(GOOD, &text).unwrap().as_slice(), b"all my keys");
    // Mail programs and editors of other systems may change the ends of lines.
    let carried = text.replace('\n', "\r\n") + "\r\n";
    assert_eq!(
        open_backup(GOOD, &carried).unwrap().as_slice(),
        b"all my keys"
    );

    let why = |passphrase: &str, text: &str| open_backup(passphrase, text).unwrap_err();
    assert_eq!(why("ferret granite lullaby 72 oboe", &text).code, "ME403");
    let lines: Vec<_> = text.lines().collect();
    let with = |header: &str| format!("{}\n{header}\n{}\n", lines[0], lines[2]);
    for header in [
        "",
        "scrypt m=65536 t=3 p=4 salt=AAECAwQFBgcICQoLDA0ODw==",
        "argon2id m=65536 t=3 salt=AAECAwQFBgcICQoLDA0ODw==",
        "argon2id m=65536 t=3 p=4 salt=AAEC",
        "argon2id m=2000000 t=3 p=4 salt=AAECAwQFBgcICQoLDA0ODw==",
        "argon2id m=65536 t=100 p=4 salt=AAECAwQFBgcICQoLDA0ODw==",
        "argon2id m=8 t=0 p=4 salt=AAECAwQFBgcICQoLDA0ODw==",
        "argon2id m=65536 t=3 p=4 salt=AAECAwQFBgcICQoLDA0ODw== more",
    ] {
        assert_eq!(why(GOOD, &with(header)).code, "ME400", "{header}");
    }
    let lighter = lines[1].replace("t=3", "t=2");
    assert_eq!(
        why(GOOD, &with(&lighter)).code,
        "ME403",
        "the cost is part of the key"
    );
    for damaged in [
        "",
        "mesh backup 1",
        "PK",
        &text[..60],
        &text[..text.len() - 3],
    ] {
        assert_eq!(why(GOOD, damaged).code, "ME400", "{damaged}");
    }
    assert!(
        why(GOOD, &text.replacen('1', "2", 1))
            .message
            .contains("newer")
    );
}

#[test]
fn a_passphrase_that_can_be_guessed_is_refused() {
    for weak in [
        "",
        "mesh",
        "password",
        "correcthorse",
        "Tr0ub4dour&3",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "1234567890123456",
        "qwertyuiopasdf",
        "passwordpassword",
        "mesh mesh mesh mesh",
    ] {
        let error = check_passphrase(weak).expect_err(weak);
        assert_eq!(error.code, "ME400");
        assert!(error.message.contains("too easy"), "{error}");
        assert!(seal_backup(weak, b"").is_err());
    }
    check_passphrase(GOOD).unwrap();
    check_passphrase("xK9#mQ2$vL7pR4").unwrap();
}
