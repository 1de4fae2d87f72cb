use super::*;
use serde_json::json;

fn home() -> (tempfile::TempDir, Home) {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::find(Some(&directory.path().join("deep/mesh"))).unwrap();
    (directory, home)
}

#[test]
fn config_is_private_and_complete_after_each_write() {
    let (_kept, home) = home();
    assert!(home.config().unwrap().credentials.is_empty());
    home.update(|c| c.relay = Some("http://127.0.0.1:7700".into()))
        .unwrap();
    assert_eq!(
        home.config().unwrap().relay.as_deref(),
        Some("http://127.0.0.1:7700")
    );
    assert_eq!(loose_mode(&home.root).unwrap(), None);
    assert_eq!(loose_mode(&home.config_path()).unwrap(), None);
    let names: Vec<_> = fs::read_dir(&home.root)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "no temporary file stays: {names:?}");
}

#[test]
fn what_a_newer_version_wrote_is_kept() {
    let (_kept, home) = home();
    home.create().unwrap();
    let text = json!({
        "later": {"a": null}, "relay": "http://a",
        "credentials": [{"id": "x", "kind": "account", "relay": "r", "colour": "red"}, {"id": "y", "shape": 1}],
    });
    fs::write(home.config_path(), text.to_string()).unwrap();
    home.update(|c| {
        c.relay = None;
        c.credentials.remove(1);
        c.credentials.push(Credential {
            id: "z".into(),
            ..Default::default()
        });
    })
    .unwrap();
    let after: Value = serde_json::from_slice(&fs::read(home.config_path()).unwrap()).unwrap();
    assert_eq!(after["later"], json!({"a": null}));
    assert_eq!(after.get("relay"), None);
    assert_eq!(after["credentials"][0]["colour"], "red");
    assert_eq!(after["credentials"].as_array().unwrap().len(), 2);
    assert_eq!(after["credentials"][1]["id"], "z");
    assert_eq!(after["credentials"][1].get("agent"), None);
}

#[test]
fn writers_at_once_lose_nothing() {
    let (_kept, home) = home();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let home = &home;
            scope.spawn(move || {
                for m in 0..5 {
                    let id = format!("{n}-{m}");
                    home.update(|c| {
                        c.credentials.push(Credential {
                            id,
                            ..Default::default()
                        })
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!(home.config().unwrap().credentials.len(), 40);
}

#[test]
fn a_broken_config_is_reported_and_not_overwritten() {
    let (_kept, home) = home();
    home.create().unwrap();
    fs::write(home.config_path(), "{oops").unwrap();
    assert_eq!(home.config().unwrap_err().code, "ME400");
    assert!(home.update(|_| ()).is_err());
    assert_eq!(fs::read_to_string(home.config_path()).unwrap(), "{oops");
}
