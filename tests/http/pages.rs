//! What anybody may read: health, metrics, documents, and the page an invite opens.

use crate::common::agent::Pair;
use crate::common::http::{exchange, get};
use serde_json::Value;

#[test]
fn health_and_readiness_say_which_relay_this_is() {
    let pair = Pair::new();
    for path in ["/health", "/ready"] {
        let answer = get(&pair.relay, path);
        let body = answer.json();
        assert_eq!((answer.status, &body["status"]), (200, &"ok".into()));
        assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(body["public_url"], pair.relay.url());
        assert_eq!(body["catalogue"].as_str(), answer.header("mesh-catalogue"));
    }
    let head = exchange(&pair.relay, "HEAD /health HTTP/1.1\nhost: relay", b"");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn metrics_are_numbers_under_names_and_name_nobody() {
    let pair = Pair::new();
    pair.send("counted");
    let text = get(&pair.relay, "/metrics").body;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(name.starts_with("mesh_"), "{line}");
        value
            .parse::<f64>()
            .unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    assert!(text.contains("mesh_ready 1") && text.contains("mesh_calls_total"));
    for secret in ["ann", "bob", "proj", "alice", "mt_", "mc_"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn reading_health_metrics_and_documents_changes_no_mail() {
    let pair = Pair::new();
    pair.send("unread");
    let mail = || {
        pair.database.value(
            "select concat(d.ctid, d.xmin, d, m.ctid, m.xmin, m)
             from mesh_data.delivery d join mesh_data.message m using (message_id)",
        )
    };
    let before = mail();
    for path in ["/health", "/ready", "/metrics", "/catalogue.json"] {
        assert_eq!(get(&pair.relay, path).status, 200, "{path}");
    }
    assert_eq!(mail(), before);
}

#[test]
fn openapi_has_every_call_with_what_it_takes_and_gives() {
    let pair = Pair::new();
    let openapi = get(&pair.relay, "/openapi.json").json();
    let catalogue = get(&pair.relay, "/catalogue.json").json();
    assert!(
        openapi["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.")
    );
    let paths = openapi["paths"].as_object().expect("paths");
    let functions = catalogue["functions"].as_array().expect("functions");
    assert!(functions.len() > 30);
    for function in functions {
        let name = function["name"].as_str().expect("a name");
        let post = &paths[&format!("/rpc/{name}")]["post"];
        assert!(post["summary"].is_string(), "{name}: {post}");
        let body = &post["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(body["type"], "object", "{name}: {body}");
        for argument in function["arguments"].as_array().expect("arguments") {
            let argument = argument["name"].as_str().expect("a name");
            assert!(
                body["properties"][argument].is_object(),
                "{name}({argument})"
            );
        }
        let result = &post["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(result.is_object(), "{name}: {post}");
    }
    assert!(no_dangling_references(&openapi, &openapi));
}

fn no_dangling_references(whole: &Value, part: &Value) -> bool {
    match part {
        Value::Object(map) => map.iter().all(|(name, value)| match value {
            Value::String(target) if name == "$ref" => {
                whole.pointer(target.trim_start_matches('#')).is_some()
            }
            value => no_dangling_references(whole, value),
        }),
        Value::Array(items) => items.iter().all(|item| no_dangling_references(whole, item)),
        _ => true,
    }
}

#[test]
fn the_join_page_runs_its_own_script_only_and_echoes_nothing() {
    let pair = Pair::new();
    let secret = "mc_inv_00112233445566778899aabbccddeeff00112233445566aa";
    let answer = get(
        &pair.relay,
        &format!("/join?invite={secret}&x=%3Cscript%3E"),
    );
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains(secret) && !answer.body.contains("<script>"));
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let nonce = policy
        .split("script-src 'nonce-")
        .nth(1)
        .and_then(|p| p.split('\'').next());
    let nonce = nonce.expect("a nonce");
    assert!(answer.body.contains(&format!("<script nonce=\"{nonce}\">")));
    let again = get(&pair.relay, "/join");
    assert!(
        !again
            .header("content-security-policy")
            .expect("a policy")
            .contains(nonce)
    );
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn other_sites_may_not_call() {
    let pair = Pair::new();
    let preflight = "OPTIONS /rpc/whoami HTTP/1.1\nhost: relay\norigin: https://evil.example\naccess-control-request-method: POST";
    for head in [
        preflight.to_owned(),
        "GET /health HTTP/1.1\nhost: relay\norigin: https://evil.example".to_owned(),
        "GET /openapi.json HTTP/1.1\nhost: relay\norigin: https://evil.example".to_owned(),
    ] {
        let answer = exchange(&pair.relay, &head, b"");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{head}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{head}"
        );
    }
}
