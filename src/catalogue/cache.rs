//! The last catalogue each relay sent, kept so that help and completions work offline.

use super::Catalogue;
use crate::{
    crypto,
    error::Result,
    home::{self, Home},
};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

impl Catalogue {
    /// The catalogue of `relay` (a URL) as last seen from this machine; the embedded one when none was or it cannot be read.
    pub fn current(home: &Home, relay: &str) -> Catalogue {
        read(home, relay).map_or_else(Catalogue::embedded, |(catalogue, _)| catalogue)
    }

    /// The hash `relay` gave with the stored catalogue; `None` when there is none to use.
    pub fn stored_hash(home: &Home, relay: &str) -> Option<String> {
        read(home, relay).map(|(_, hash)| hash)
    }

    /// Keeps what `relay` answered to GET /catalogue.json, and the `hash` it names it by. Refuses another protocol.
    pub fn store(home: &Home, relay: &str, hash: &str, answer: &Value) -> Result<Catalogue> {
        let catalogue = Catalogue::parse(&answer.to_string())?;
        let path = path(home, relay);
        home::private_directory(&home.root.join("catalogue"))?;
        home::write_private(
            &path,
            json!({"hash": hash, "catalogue": answer})
                .to_string()
                .as_bytes(),
        )?;
        Ok(catalogue)
    }
}

fn read(home: &Home, relay: &str) -> Option<(Catalogue, String)> {
    let stored: Value = serde_json::from_str(&fs::read_to_string(path(home, relay)).ok()?).ok()?;
    let catalogue = Catalogue::parse(&stored.get("catalogue")?.to_string()).ok()?;
    Some((catalogue, stored.get("hash")?.as_str()?.to_owned()))
}

fn path(home: &Home, relay: &str) -> PathBuf {
    let name = crypto::sha256_hex(relay.trim_end_matches('/').as_bytes());
    home.root
        .join("catalogue")
        .join(format!("{}.json", &name[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_catalogue_is_found_again_for_its_relay_only() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home {
            root: folder.path().join("home"),
        };
        let answer = json!({"protocol": 1, "functions": [{"name": "later"}]});
        Catalogue::store(&home, "https://a.example/", "h1", &answer).unwrap();
        assert!(
            Catalogue::current(&home, "https://a.example")
                .function("later")
                .is_some()
        );
        assert_eq!(
            Catalogue::stored_hash(&home, "https://a.example").as_deref(),
            Some("h1")
        );
        assert!(
            Catalogue::current(&home, "https://b.example")
                .function("later")
                .is_none()
        );
        assert_eq!(Catalogue::stored_hash(&home, "https://b.example"), None);
    }

    #[test]
    fn another_protocol_is_not_stored_and_rubbish_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home {
            root: folder.path().to_owned(),
        };
        assert!(Catalogue::store(&home, "r", "h", &json!({"protocol": 9})).is_err());
        fs::create_dir_all(home.root.join("catalogue")).unwrap();
        fs::write(path(&home, "r"), "{").unwrap();
        assert!(Catalogue::current(&home, "r").function("whoami").is_some());
    }
}
