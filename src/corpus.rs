//! Broken inputs that came to somebody's mind: tests/corpus. Each is refused, for the reason that reasons.txt gives.

use std::{collections::BTreeMap, fs, path::PathBuf};

/// The files of a corpus by name, each with its reason.
pub fn corpus(kind: &str) -> Vec<(String, Vec<u8>, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(kind);
    let reasons = fs::read_to_string(folder.join("reasons.txt")).unwrap();
    let mut reasons: BTreeMap<_, _> = reasons
        .lines()
        .map(|line| line.split_once(": ").expect("name: reason"))
        .collect();
    let mut found = Vec::new();
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "reasons" {
            let reason = reasons
                .remove(name.as_str())
                .unwrap_or_else(|| panic!("{name} has no reason"));
            found.push((name, fs::read(&path).unwrap(), reason.to_owned()));
        }
    }
    assert!(reasons.is_empty(), "there is no {reasons:?}");
    assert!(found.len() > 20);
    found
}
