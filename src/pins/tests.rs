use super::*;

fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::find(Some(folder.path())).unwrap();
    (folder, home)
}

#[test]
fn what_is_pinned_stays_and_others_see_it() {
    let (_folder, home) = home();
    let (one, other) = (Pins::new(&home), Pins::new(&home));
    assert_eq!(one.mesh("m").unwrap(), Mesh::default());
    one.own("m", "proj", "aa").unwrap();
    assert_eq!(other.mesh("m").unwrap().owner_key, "aa");
    other
        .update("m", |mesh| {
            mesh.sealed = true;
            Ok(())
        })
        .unwrap();
    assert!(one.mesh("m").unwrap().sealed);
    assert!(
        crate::home::loose_mode(&home.root.join("pins.json"))
            .unwrap()
            .is_none()
    );
}

#[test]
fn another_owner_is_refused_and_named() {
    let (_folder, home) = home();
    let pins = Pins::new(&home);
    pins.own("m", "proj", &"a".repeat(64)).unwrap();
    pins.own("m", "proj", &"a".repeat(64)).unwrap();
    let error = pins.own("m", "proj", &"b".repeat(64)).unwrap_err();
    assert_eq!(error.code, "ME409");
    assert!(error.message.contains("bbbbbbbbbbbb now"), "{error}");
    assert_eq!(pins.mesh("m").unwrap().owner_key, "a".repeat(64));
}

#[test]
fn a_change_that_fails_changes_nothing() {
    let (_folder, home) = home();
    let pins = Pins::new(&home);
    let failed: Result<()> = pins.update("m", |mesh| {
        mesh.sealed = true;
        Err(Error::new(409, "no"))
    });
    assert!(failed.is_err() && !pins.mesh("m").unwrap().sealed);
}

#[test]
fn broken_pins_are_an_error_and_not_none() {
    let (_folder, home) = home();
    std::fs::write(home.root.join("pins.json"), "{").unwrap();
    assert_eq!(Pins::new(&home).mesh("m").unwrap_err().code, "ME400");
}
