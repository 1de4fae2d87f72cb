//! A new call is one SQL function: no Rust changes, and it is everywhere.

mod common;

use common::{Machine, postgres::Database, relay::Relay};
use std::{fs, path::Path, process::Command};

fn copy(from: &Path, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-r")
            .arg(from)
            .arg(to)
            .status()
            .expect("cp starts")
            .success()
    );
}

#[test]
fn a_function_added_to_sql_is_an_rpc_an_openapi_path_a_verb_and_a_tool() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = tempfile::tempdir().expect("a temporary folder");
    copy(&root.join("migrations"), source.path());
    copy(&root.join("sql"), source.path());
    fs::write(
        source.path().join("sql/api/weather.sql"),
        "create function mesh.forecast(place text, days integer default 1, out place_name text, out outlook text)
         language sql stable set search_path = '' as $$ select upper(forecast.place), 'rain for ' || forecast.days || ' days' $$;
         comment on function mesh.forecast is $c$---
cli: weather forecast <place>
who: agent
mcp: core
---
Tell the weather of a place.
place: its name.
days: how far ahead, in days; default 1.
example: mesh weather forecast oslo$c$;
         grant execute on function mesh.forecast(text, integer) to mesh_agent;",
    )
    .expect("a file");

    let database = Database::empty();
    let migrated = database.migrate(&["--source", source.path().to_str().expect("text")]);
    assert!(
        migrated.status.success(),
        "{}",
        String::from_utf8_lossy(&migrated.stderr)
    );
    let relay = Relay::start(&database.url("mesh_relay"));
    let alice = Machine::account(&relay.url(), &database, "alice");
    alice.open_mesh("proj");

    let (status, answer) = relay.post(
        "forecast",
        Some(&alice.token()),
        r#"{"place":"oslo","days":3}"#,
    );
    assert_eq!(
        (status, answer["outlook"].as_str()),
        (200, Some("rain for 3 days"))
    );

    let openapi = relay
        .request("GET /openapi.json HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n")
        .expect("an answer");
    assert!(openapi.contains("\"/rpc/forecast\""));

    assert_eq!(
        alice.json(&["weather", "forecast", "oslo"])["place_name"],
        "OSLO"
    );
    let help = alice.run(&["weather", "forecast", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("how far ahead"));

    let guest = Machine::guest(&alice, "proj", "bob");
    let mut editor = common::editor::Editor::on(&guest, &["mcp"]);
    editor.initialize("test", "2025-11-25");
    assert!(
        editor
            .tools()
            .iter()
            .any(|tool| tool["name"] == "forecast" && tool["annotations"]["readOnlyHint"] == true)
    );
}
