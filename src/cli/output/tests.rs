use super::*;
use serde_json::json;

fn plain(value: Value, columns: &[&str]) -> String {
    let columns: Vec<String> = columns.iter().map(|c| c.to_string()).collect();
    render(
        &value,
        &columns,
        Look {
            width: None,
            colour: false,
            now: OffsetDateTime::UNIX_EPOCH,
        },
    )
}

#[test]
fn what_is_called_a_time_is_an_age() {
    let at = "1969-12-31T23:00:00Z";
    assert_eq!(
        plain(
            json!({"at": at, "sealed_at": at, "since": at, "kept_since": at}),
            &[]
        ),
        "at          1969-12-31T23:00:00Z\nsealed_at   1 h ago\nsince       1 h ago\nkept_since  1 h ago"
    );
}

#[test]
fn a_set_is_a_table_of_the_chosen_columns() {
    let rows = json!([
        {"agent": "commander", "status": "idle", "cwd": "/a", "since_at": "1969-12-31T23:00:00Z"},
        {"agent": "ui", "status": null, "cwd": "/b", "since_at": null},
    ]);
    assert_eq!(
        plain(rows.clone(), &["agent", "status", "since_at", "unknown"]),
        "agent      status  since\ncommander  idle    1 h ago\nui"
    );
    assert!(plain(rows, &[]).contains("/b"));
    assert_eq!(plain(json!([]), &[]), "");
}

#[test]
fn a_table_has_a_column_for_what_any_row_has() {
    let rows = json!([
        {"agent": "a", "value": {"b": 1}, "tags": [], "parts": [{"c": 1}]},
        {"agent": "b", "value": 1, "role": "ui", "tags": ["x", "y"]},
    ]);
    assert_eq!(
        plain(rows, &[]),
        "agent  value    role  tags\na      {\"b\":1}\nb      1        ui    x, y"
    );
}

#[test]
fn a_row_is_aligned_and_its_next_comes_last() {
    let row = json!({"next": "mesh run ui", "mesh": "proj", "mesh_id": "1", "role": null, "groups": ["a", "b"], "on": true});
    assert_eq!(
        plain(row, &[]),
        "mesh     proj\nmesh_id  1\ngroups   a, b\non       yes\nnext: mesh run ui"
    );
}

#[test]
fn a_list_inside_a_row_is_a_table_below_it() {
    let inbox = json!({"messages": [{"from": "ui", "message": "a\nb", "data": {}}], "unread": 0});
    assert_eq!(
        plain(inbox, &["from", "message"]),
        "unread  0\nfrom  message\nui    a\n      b"
    );
}

#[test]
fn nothing_a_peer_writes_moves_the_cursor() {
    let evil = "\u{1b}]0;x\u{7}\u{202e}";
    for value in [
        json!([{ "from": evil, evil: evil }]),
        json!({ "a": evil, evil: [1, evil] , "next": evil}),
        json!(evil),
    ] {
        let text = plain(value, &[]);
        assert!(
            !text
                .chars()
                .any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')),
            "{text:?}"
        );
    }
    let error = Error::new(404, evil).hint(evil);
    assert_eq!(error_text(&error, false), "error: ]0;x\nhint: run ]0;x\n");
}

#[test]
fn an_error_says_what_was_meant_and_what_to_run() {
    let mut error = Error::new(404, "no agent desinger").hint("mesh peers");
    error.data = Some(json!({"candidates": ["designer", "desk"]}));
    assert_eq!(
        error_text(&error, false),
        "error: no agent desinger\ndid you mean designer, desk?\nhint: run mesh peers\n"
    );
    let all = [
        "alice",
        "backend",
        "bob",
        "carol/designer",
        "designer",
        "desk",
    ];
    error.data = Some(json!({"asked": "Desinger", "candidates": all}));
    assert!(error_text(&error, false).contains("did you mean designer, carol/designer"));
    error.data = Some(json!({"asked": "zzz", "candidates": all}));
    assert!(!error_text(&error, false).contains("did you mean"));
    assert!(error_text(&error, true).starts_with("\u{1b}[1;31merror:\u{1b}[0m"));
    let same_key =
        json!([{"name": "desk", "key": "0123456789ab", "cwd": "/home"}, {"name": "designer"}]);
    error.data = Some(json!({"candidates": same_key}));
    assert!(
        error_text(&error, false).contains("did you mean desk (0123456789ab /home), designer?\n")
    );
    error.data = Some(json!({"asked": "desinger", "candidates": same_key}));
    assert!(error_text(&error, false).contains("did you mean designer"));
    assert!(!error_text(&error, false).contains("0123456789ab"));
    let taken = Error::new(409, "agent already running in another window").hint("--takeover");
    assert!(error_text(&taken, false).ends_with("hint: add --takeover\n"));
}

#[test]
fn a_secret_column_is_for_programs_only() {
    let function = Function {
        returns: serde_json::from_value(json!({"columns": [{"name": "a", "type": "text"}, {"name": "b", "type": "mesh.secret"}]}))
            .unwrap(),
        ..Function::default()
    };
    assert_eq!(
        for_people(&function, &json!([{"a": 1, "b": 2}])),
        json!([{"a": 1}])
    );
    assert_eq!(for_people(&function, &json!({"b": 2})), json!({}));
    assert_eq!(for_people(&function, &json!("b")), json!("b"));
}

#[test]
fn a_value_is_shown_as_the_json_it_is() {
    let function = Function {
        returns: serde_json::from_value(json!({"columns": [{"name": "a", "type": "text"}, {"name": "b", "type": "mesh.value"}]}))
            .unwrap(),
        ..Function::default()
    };
    for (value, shown) in [
        (json!(null), "null"),
        (json!(false), "false"),
        (json!("text"), "text"),
        (json!({"a": [1]}), r#"{"a":[1]}"#),
    ] {
        let row = for_people(&function, &json!({"a": null, "b": value}));
        assert_eq!(row, json!({"a": null, "b": shown}));
    }
}

#[test]
fn what_is_left_is_counted_and_the_command_that_shows_it_named() {
    let function: Function = serde_json::from_value(
        json!({"name": "f", "cli": {"verb": ["f"], "more": ["left", "mesh f"]}}),
    )
    .unwrap();
    for (left, line) in [
        (json!(9997), Some("9,997 left: mesh f")),
        (json!(1_234_567), Some("1,234,567 left: mesh f")),
        (json!(12), Some("12 left: mesh f")),
        (json!(0), None),
        (json!(null), None),
    ] {
        assert_eq!(more(&function, &json!({"left": left})).as_deref(), line);
    }
}
