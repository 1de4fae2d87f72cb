use super::*;
use crate::{
    crypto::{Secret, Signer},
    home::Credential,
};
use std::os::unix::fs::PermissionsExt;

fn file_home() -> (tempfile::TempDir, Home) {
    let directory = tempfile::tempdir().unwrap();
    let home = Home {
        root: directory.path().join("mesh"),
    };
    home.update(|c| c.keystore = Some("file".into())).unwrap();
    (directory, home)
}

#[tokio::test]
async fn files_keep_keys_for_their_owner_only() {
    let (_kept, home) = file_home();
    assert!(get(&home, "a").await.unwrap().is_none());
    put(&home, "a", "one").await.unwrap();
    put(&home, "a", "two").await.unwrap();
    assert_eq!(get(&home, "a").await.unwrap().unwrap().as_str(), "two");
    assert_eq!(home::loose_mode(&directory(&home)).unwrap(), None);
    assert_eq!(home::loose_mode(&directory(&home).join("a")).unwrap(), None);
    assert_eq!(
        fs::read_dir(directory(&home)).unwrap().count(),
        1,
        "no temporary file stays"
    );
    delete(&home, "a").await.unwrap();
    delete(&home, "a").await.unwrap();
    assert!(get(&home, "a").await.unwrap().is_none());
    for name in ["", "../a", "a/b", ".a", "a b"] {
        assert_eq!(
            put(&home, name, "x").await.unwrap_err().code,
            "ME400",
            "{name}"
        );
    }
}

#[tokio::test]
async fn loose_modes_are_refused_with_the_fix() {
    let (_kept, home) = file_home();
    put(&home, "a", "one").await.unwrap();
    let file = directory(&home).join("a");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let error = get(&home, "a").await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.hint),
        ("ME403", format!("chmod 600 {}", file.display()))
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(directory(&home), fs::Permissions::from_mode(0o755)).unwrap();
    let chmod = format!("chmod 700 {}", directory(&home).display());
    assert_eq!(get(&home, "a").await.unwrap_err().hint, chmod);
    assert_eq!(put(&home, "b", "x").await.unwrap_err().hint, chmod);
}

#[tokio::test]
async fn a_credential_holds_key_and_identity_and_replaces_the_one_before() {
    let (_kept, home) = file_home();
    let credential = |id: &str, agent: &str| Credential {
        id: id.into(),
        kind: "agent".into(),
        relay: "http://127.0.0.1:1".into(),
        mesh_id: Some("m".into()),
        agent: Some(agent.into()),
        ..Default::default()
    };
    let held = Held {
        key: Secret::generate("mc_"),
        identity: Some(Signer::generate()),
    };
    for (id, agent) in [
        ("one", "designer"),
        ("two", "backend"),
        ("three", "designer"),
    ] {
        held.store(&home, id).await.unwrap();
        remember(&home, credential(id, agent)).await.unwrap();
    }
    let ids: Vec<_> = home
        .config()
        .unwrap()
        .credentials
        .into_iter()
        .map(|c| c.id)
        .collect();
    assert_eq!(ids, ["two", "three"]);
    assert!(Held::load(&home, "one").await.unwrap().is_none());
    let again = Held::load(&home, "three").await.unwrap().unwrap();
    assert_eq!(again.key.text(), held.key.text());
    assert_eq!(
        again.signer().public_key(),
        held.identity.unwrap().public_key()
    );
    let bare = Held::parse(again.key.text()).unwrap();
    assert_eq!(bare.signer().public_key(), again.key.signer().public_key());
    assert_eq!(Held::parse("{\"key\":1}").err().unwrap().code, "ME400");
}
