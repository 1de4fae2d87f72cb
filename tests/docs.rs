//! The documentation is about this program: what it names exists, what it links to is there.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGES: &[&str] = &[
    "README.md",
    "docs/architecture.md",
    "docs/errors.md",
    "docs/operate.md",
    "docs/performance.md",
    "docs/protocol.md",
    "docs/security.md",
    "docs/tutorial.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn functions() -> Vec<String> {
    let catalogue: Value = serde_json::from_str(&read("docs/api.json")).unwrap();
    let functions = catalogue["functions"].as_array().unwrap().iter();
    functions
        .map(|f| f["name"].as_str().unwrap().to_owned())
        .collect()
}

/// What stands between backticks, on one line; fenced blocks are left out.
fn code_spans(page: &str) -> Vec<String> {
    let mut fenced = false;
    let prose = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    });
    prose
        .flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect()
}

/// The words of a name that follows `prefix`, wherever it stands in the text.
fn names_after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let names = text.split(prefix).skip(1);
    names
        .map(|rest| rest.split(|c| !is_name(c)).next().unwrap_or_default())
        .filter(|name| !name.is_empty())
        .collect()
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, all),
            false => all.push(path),
        }
    }
}

fn text_below(folder: &str) -> String {
    let mut all = Vec::new();
    files(&root().join(folder), &mut all);
    all.iter().map(read).collect()
}

#[test]
fn the_long_pages_stay_short() {
    for (page, most) in [("README.md", 120), ("docs/architecture.md", 220)] {
        let lines = read(page).lines().count();
        assert!(lines <= most, "{page} has {lines} lines, more than {most}");
    }
}

#[test]
fn calls_that_are_named_exist() {
    let functions = functions();
    // what an example adds
    let known = |name: &str| name == "forecast" || functions.iter().any(|f| f == name);
    for page in PAGES {
        for name in names_after(&read(page), "/rpc/") {
            assert!(known(name), "{page}: there is no call {name}");
        }
    }
}

#[test]
fn what_is_named_of_the_schemas_exists() {
    let sql = text_below("sql") + &text_below("migrations");
    for page in PAGES {
        let text = read(page).replace("mesh.forecast", "");
        for schema in ["mesh_lib.", "mesh_data.", "`mesh."] {
            for name in names_after(&text, schema) {
                let whole = format!("{}{name}", schema.trim_start_matches('`'));
                assert!(
                    name == "my_" || sql.contains(&whole),
                    "{page}: there is no {whole}"
                );
            }
        }
    }
}

/// A test or file is named as `path` or `path: words that stand in it`.
#[test]
fn files_and_tests_that_are_named_exist() {
    for page in PAGES {
        for span in code_spans(&read(page)) {
            let (path, words) = match span.split_once(": ") {
                Some((path, words)) => (path, Some(words)),
                None => (span.as_str(), None),
            };
            let ours = ["src/", "sql/", "tests/", "docs/", "migrations/"];
            let is_ours = ours.iter().any(|folder| path.starts_with(folder));
            if !is_ours || path.contains(' ') || path == "sql/api/weather.sql" {
                continue;
            }
            assert!(root().join(path).exists(), "{page}: there is no {path}");
            if let Some(words) = words {
                // SQL doubles quotes
                let found = read(path).replace("''", "'").contains(words);
                assert!(found, "{page}: {path} has no {words:?}");
            }
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for page in PAGES {
        let text = read(page);
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = Path::new(page).parent().unwrap().join(file);
            let heading = |line: &str| {
                let title = line.trim_start_matches('#').trim().to_lowercase();
                line.starts_with('#') && title.replace(' ', "-") == anchor
            };
            let there = read(path)
                .lines()
                .any(|line| anchor.is_empty() || heading(line));
            assert!(there, "{page}: {target} has no such heading");
        }
    }
}

/// Every `mesh …` at the beginning of a line of a code block, and in a code span, is a command.
#[test]
fn commands_that_are_named_exist() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mesh"))
        .env("MESH_HOME", home.path())
        .env("MESH_RELAY", "http://127.0.0.1:1")
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let aliases = read("docs/api.json");
    for page in PAGES {
        let text = read(page);
        let spans = code_spans(&text).into_iter();
        let blocks = text
            .lines()
            .map(|line| line.trim_start_matches("$ ").to_owned());
        for line in spans.chain(blocks).filter(|line| line.starts_with("mesh ")) {
            let mut words = line.split_whitespace().skip(1).peekable();
            while let Some(option) = words.next_if(|word| word.starts_with('-')) {
                if ["--agent", "--mesh", "--relay", "--ca"].contains(&option) {
                    words.next();
                }
            }
            // `mesh     proj` is output, `mesh error <id>` a line of a log
            let Some(verb) = words.next().filter(|_| !line.starts_with("mesh  ")) else {
                continue;
            };
            // the example of a new call is no command yet
            let known = help
                .lines()
                .any(|l| l.trim_start().split(' ').next() == Some(verb))
                || aliases.contains(&format!("\"{verb}\""))
                || ["help", "error", "weather"].contains(&verb);
            assert!(known, "{page}: there is no command {verb:?} ({line})");
        }
    }
}

#[test]
fn the_key_of_the_protocol_page_derives_its_bearer() {
    let page = read("docs/protocol.md");
    let vector = |name: &str| {
        let line = page.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mesh"))
        .env("MESH_HOME", home.path())
        .env("MESH_KEY", vector("key  "))
        .arg("token")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.trim(), vector("bearer  "), "{output:?}");
}

/// Signing a socket in is the one thing a relay does by name: it wants to know the key's id.
#[test]
fn the_relay_names_no_call_but_whoami() {
    let mut all = Vec::new();
    files(&root().join("src/relay"), &mut all);
    for path in all
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
    {
        let text = read(path);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for name in functions().iter().filter(|name| *name != "whoami") {
            let named = code.contains(&format!("\"{name}\""));
            assert!(!named, "{}: {name}", path.display());
        }
    }
}
