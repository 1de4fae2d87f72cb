//! Bad input: a clear 4xx with code and hint, and the relay goes on.

use crate::common::agent::Pair;
use crate::common::http::{exchange, post};

#[test]
fn bodies_that_are_no_arguments_are_refused() {
    let pair = Pair::new();
    let bearer = format!("authorization: Bearer {}\n", pair.ann.token);
    let deep = |depth: usize| {
        format!(
            r#"{{"to":"bob","message":"x","data":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let bodies: Vec<Vec<u8>> = [
        "{",
        "}",
        "nonsense",
        "null",
        "true",
        "1",
        "\"to\"",
        "[]",
        "[{}]",
        "{} {}",
        "{\"to\":}",
        "{'to':'bob'}",
        "{\"to\":\"bob\",}",
        "\u{0}",
        "{\"to\":\"b\u{0}b\",\"message\":\"x\"}",
        r#"{"to":"bob","message":"\u0000"}"#,
        r#"{"to":"b\u0000b","message":"x"}"#,
        r#"{"to":"bob","message":"x","data":{"a\u0000":1}}"#,
        r#"{"to":"bob","message":"\ud800"}"#,
        r#"{"to":"bob","message":"x","data":1e999}"#,
        r#"{"to":"bob","message":"x","data":NaN}"#,
        r#"{"to":"bob"}"#,
        r#"{"message":"x"}"#,
        r#"{"to":"bob","message":null}"#,
        r#"{"to":"bob","message":7}"#,
        r#"{"to":{"bob":1},"message":"x"}"#,
        r#"{"to":{"x":1},"message":"x"}"#,
        r#"{"to":"bob","message":"x","reply_to":"no id"}"#,
        r#"{"to":"bob","message":"x","reply_to":7}"#,
        r#"{"to":"bob","message":"x","more":1}"#,
        r#"{"to":"bob","message":"x","__proto__":{}}"#,
        r#"{"to":"bob","message":"x","":1}"#,
        r#"{"to":"bob","message":"x","key":""}"#,
        r#"{"to":"bob","message":""}"#,
        r#"{"to":"ann","message":"to myself"}"#,
        r#"{"to":"../x","message":"x"}"#,
        r#"{"to":"search","message":"x"}"#,
        r#"{"to":"__proto__","message":"x"}"#,
        r#"{"to":"🦀","message":"x"}"#,
        r#"{"to":"' or 1=1 --","message":"x"}"#,
        r#"{"to":"","message":"x"}"#,
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([
        b"{\"to\":\"\xff\"}".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        deep(200).into_bytes(),
        deep(100_000).into_bytes(),
        format!(r#"{{"to":"bob","message":"{}"}}"#, "x".repeat(70_000)).into_bytes(),
        format!(r#"{{"to":"{}","message":"x"}}"#, "x".repeat(70_000)).into_bytes(),
    ])
    .collect();
    for body in bodies {
        let answer = post(&pair.relay, "send_message", &bearer, &body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        answer.refusal(&shown);
    }
    assert_eq!(pair.peek(), [] as [&str; 0], "nothing of it was sent");
    assert_eq!(pair.relay.health(), 200);
}

#[test]
fn values_of_other_types_are_refused_by_their_name() {
    let pair = Pair::new();
    let bearer = format!("authorization: Bearer {}\n", pair.ann.token);
    for (function, body) in [
        ("check_messages", r#"{"limit":"5"}"#),
        ("check_messages", r#"{"limit":0}"#),
        ("check_messages", r#"{"limit":1.5}"#),
        (
            "check_messages",
            r#"{"limit":99999999999999999999999999999}"#,
        ),
        ("check_messages", r#"{"limit":-9223372036854775809}"#),
        ("check_messages", r#"{"limit":[]}"#),
        ("check_messages", r#"{"peek":"yes"}"#),
        ("check_messages", r#"{"peek":1}"#),
        ("check_messages", r#"{"seen":"not an id"}"#),
        ("wait", r#"{"timeout":1e308}"#),
        ("wait", r#"{"timeout":-1}"#),
        ("ack_messages", r#"{"message_ids":[]}"#),
        ("ack_messages", r#"{"message_ids":"x"}"#),
        ("ack_messages", r#"{"message_ids":["x"]}"#),
        ("ack_messages", r#"{"message_ids":[[null]]}"#),
        ("ack_messages", r#"{"message_ids":[null]}"#),
        ("ack_messages", r#"{"message_ids":[[]]}"#),
        ("ack_messages", r#"{"message_ids":[{}]}"#),
        ("ack_messages", r#"{"message_ids":{}}"#),
        ("message_status", r#"{"message_id":null}"#),
        ("set_status", r#"{"status":"no such status"}"#),
        ("set_summary", r#"{"summary":{"a":1}}"#),
    ] {
        let error = post(&pair.relay, function, &bearer, body.as_bytes())
            .refusal(&format!("{function} {body}"));
        assert_eq!(error["code"], "ME400", "{function} {body}: {error}");
        assert!(
            !error["message"]
                .as_str()
                .unwrap_or_default()
                .contains("pg_")
        );
    }
    assert_eq!(pair.relay.health(), 200);
}

#[test]
fn calls_that_are_none_are_refused() {
    let pair = Pair::new();
    let bearer = format!("authorization: Bearer {}\n", pair.ann.token);
    let long = "x".repeat(2000);
    for name in [
        "",
        "no_such_call",
        "../x",
        "..%2fx",
        "*",
        "search",
        "__proto__",
        "constructor",
        "%F0%9F%A6%80",
        "send_message%00",
        "send_message/x",
        "SEND_MESSAGE",
        "mesh.send_message",
        "mesh_lib.call",
        "pg_sleep",
        "create_account",
        "send_message;drop",
        "%27%3B--",
        &long,
    ] {
        let error = post(&pair.relay, name, &bearer, b"{}").refusal(name);
        let code = error["code"].as_str().unwrap_or_default();
        assert!(
            ["ME400", "ME403", "ME404"].contains(&code),
            "{name}: {error}"
        );
    }
    assert_eq!(pair.relay.health(), 200);
}

#[test]
fn a_path_takes_its_own_methods_only() {
    let pair = Pair::new();
    let bearer = format!("authorization: Bearer {}", pair.ann.token);
    for (line, allowed) in [
        ("GET /rpc/whoami", "POST"),
        ("PUT /rpc/whoami", "POST"),
        ("DELETE /rpc/whoami", "POST"),
        ("OPTIONS /rpc/whoami", "POST"),
        ("BREW /rpc/whoami", "POST"),
        ("POST /health", "GET, HEAD"),
        ("DELETE /openapi.json", "GET, HEAD"),
        ("POST /ws", "GET, HEAD"),
    ] {
        let answer = exchange(
            &pair.relay,
            &format!("{line} HTTP/1.1\nhost: relay\n{bearer}\ncontent-length: 2"),
            b"{}",
        );
        answer.refusal(line);
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some(allowed)),
            "{line}"
        );
    }
    for path in [
        "/",
        "/rpc",
        "/admin",
        "/../etc/passwd",
        "/health/x",
        "/%00",
        "/.git/config",
    ] {
        let answer = exchange(
            &pair.relay,
            &format!("GET {path} HTTP/1.1\nhost: relay"),
            b"",
        );
        assert_eq!(answer.refusal(path)["code"], "ME404", "{path}");
    }
    let plain = exchange(&pair.relay, "GET /ws HTTP/1.1\nhost: relay", b"");
    assert_eq!(plain.refusal("no upgrade")["code"], "ME400");
}
